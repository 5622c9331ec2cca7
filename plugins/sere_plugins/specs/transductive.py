"""Methods that fit T_u as a whole, on utterance vectors: what they are called and how they are configured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sere_plugins.specs import Declared, component
from sere_plugins.specs.methods import LogisticParams
from sere_registry import param
from sere_registry.spec import BY_TEXT

#: shares of the classes, in the order of the task's classes
Given = Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=2)]
_LISTED = "or a list of them in the order of the classes, from knowledge of one's own: never from target labels"


class EstimateParams(Declared):
    """How class shares are estimated."""

    damping: float = param(
        0.2,
        "of `estimated`: what the shares in S_l count in every step of EM (ours); 0: the paper's, which may take a class for empty",
        ge=0,
        le=1,
    )


class SharesParams(EstimateParams):
    """What is taken for the class shares of T_u."""

    shares: Literal["equal", "estimated"] | Given = param("equal", f"class shares of T_u: equal, estimated by EM (label_shift), {_LISTED}")


class GraphParams(Declared):
    """A graph of nearest neighbours."""

    neighbours: int = param(10, "k: nearest neighbours that an utterance is linked with (ours)", ge=1, search=("int", 3, 30))


@component(
    "label_propagation",
    "methods.label_propagation:LabelPropagation",
    cite="Zhou et al., Learning with Local and Global Consistency, NeurIPS 2003; class mass: Zhu et al., ICML 2003",
    tags=("closed form", "transductive"),
    own_losses=True,
)
class LabelPropagationParams(GraphParams, EstimateParams):
    """the labels of S_l spread over a graph of nearest neighbours; assumes nothing of class shares unless `shares` is set."""

    shares: Literal["none", "equal", "estimated"] | Given = param(
        "none",
        f"class shares of T_u that its mass is scaled to: none, equal, estimated by EM (label_shift), {_LISTED}",
        search=("choice", ["none", "equal"]),
    )
    alpha: float = param(
        0.99, "how much of its neighbours' labels an utterance takes; Zhou et al.'s", gt=0, lt=1, search=("uniform", 0.5, 0.999)
    )
    use_source: bool = param(True, "S_u is in the graph, too")
    rounds: int = param(1000, "of spreading, at most", ge=1)
    tolerance: float = param(1e-6, "the largest change of a label at which spreading ends", ge=0)


class LaplacianParams(GraphParams):
    """What LaplacianShot and LAME share."""

    smoothness: float = param(
        1.0,
        "lambda: how much neighbours agree; 0: the classifier's predictions; LAME's 1, LaplacianShot's is tuned in 0.1..1.5",
        ge=0,
        search=("log", 0.03, 3.0),
    )
    rounds: int = param(100, "of the bound, at most; as in LAME's code", ge=1)
    tolerance: float = param(1e-8, "relative change of the energy at which the rounds end; as in LAME's code", ge=0)


@component(
    "laplacian_shot",
    "methods.laplacian_shot:LaplacianShot",
    cite="arXiv:2006.15486",
    tags=("closed form", "transductive"),
    own_losses=True,
)
class LaplacianShotParams(LaplacianParams):
    """neighbours in T_u get like predictions, which start from distances to class means; assumes nothing of class shares."""

    neighbours: int = param(3, "k: nearest neighbours that an utterance agrees with; the authors'", ge=1, search=("int", 1, 15))


@component(
    "lame",
    "methods.laplacian_shot:Lame",
    cite="arXiv:2201.05718",
    tags=("closed form", "transductive"),
    own_losses=True,
)
class LameParams(LaplacianParams):
    """neighbours in T_u get like predictions, which start from a classifier's posteriors; assumes nothing of class shares."""

    neighbours: int = param(5, "k: nearest neighbours that an utterance agrees with; the authors'", ge=1, search=("int", 1, 15))


@component(
    "pt_map",
    "methods.pt_map:PtMap",
    cite="arXiv:2006.03806",
    tags=("closed form", "transductive", "assumes class shares"),
    own_losses=True,
)
class PtMapParams(SharesParams):
    """class means move to where optimal transport in given class shares puts T_u; assumes equal shares unless `shares` is set."""

    power: float = param(0.5, "of the transform that makes features more Gaussian; the authors'", gt=0, le=1, search=("uniform", 0.25, 1.0))
    sharpness: float = param(10.0, "lambda of exp(-lambda distance^2); the authors'", gt=0, search=("log", 1.0, 100.0))
    step: float = param(0.2, "alpha: how far means move in a round; the authors'", ge=0, le=1, search=("uniform", 0.05, 1.0))
    rounds: int = param(20, "of transport and moving; the authors'", ge=0)
    use_labelled: bool = param(True, "S_l takes part in the means, as in the authors' code; false: T_u alone")


class TimParams(SharesParams):
    """What TIM and alpha-TIM share."""

    alpha: float = param(1.0, "of the entropies; 1: Shannon's", gt=0)
    labelled_weight: float = param(0.1, "a, of the cross-entropy on S_l", ge=0, search=("log", 0.01, 10.0))
    marginal_weight: float = param(
        1.0, "b, of the entropy of the mean prediction; 0: predictions may collapse", ge=0, search=("log", 0.01, 10.0)
    )
    conditional_weight: float = param(0.1, "c, of the mean entropy of predictions", ge=0, search=("log", 0.01, 10.0))
    temperature: float = param(15.0, "t, of the cosines; the authors'", gt=0, search=("log", 3.0, 50.0))
    lr: float = param(1e-4, "Adam's learning rate; the authors'", gt=0, search=("log", 1e-5, 1e-2))
    steps: int = param(1000, "of Adam; the authors'", ge=0)


@component(
    "tim",
    "methods.tim:Tim",
    cite="arXiv:2008.11297",
    tags=("closed form", "transductive", "assumes class shares"),
    own_losses=True,
)
class TimShannonParams(TimParams):
    """prototypes that are sure and varied on T_u; pulls predictions to equal class shares unless `shares` is set.

    Parameters of `tim`; the weights are those of the authors' code.
    """


@component(
    "alpha_tim",
    "methods.tim:AlphaTim",
    cite="arXiv:2204.11181",
    tags=("closed form", "transductive", "assumes class shares"),
    own_losses=True,
)
class AlphaTimParams(TimParams):
    """TIM with alpha-entropies, which pull less to equal class shares.

    Parameters of `alpha_tim`; the defaults are those of the authors' config for shares drawn from a Dirichlet distribution.
    """

    alpha: float = param(5.0, "of the entropies; 1: Shannon's", gt=0, search=("uniform", 1.0, 7.0))
    labelled_weight: float = param(1.0, "a, of the cross-entropy on S_l", ge=0, search=("log", 0.01, 10.0))
    conditional_weight: float = param(1.0, "c, of the mean entropy of predictions", ge=0, search=("log", 0.01, 10.0))


@component(
    "em_gaussians_reconstructed",
    "methods.em_gaussians:EmGaussians",
    cite="arXiv:2509.25495",
    evidence="reconstructed",
    tags=("closed form", "transductive"),
    own_losses=True,
)
class EmGaussiansParams(LogisticParams, SharesParams):
    """class Gaussians that move to T_u by EM, with a classifier's predictions as a prior; estimates class shares.

    Parameters of `em_gaussians_reconstructed`; all values are ours.
    """

    shares: Literal["equal", "estimated"] | Given = param("estimated", f"pi: estimated with the means, or fixed: equal, {_LISTED}")
    shrinkage: float = param(0.5, "s: how much of Sigma is a multiple of I (ours)", gt=0, le=1, search=("uniform", 0.05, 1.0))
    anchor: float = param(1.0, "kappa: what an utterance of S_l counts among those of T_u (ours)", ge=0, search=("log", 0.1, 100.0))
    source_prior: float = param(1.0, "rho: weight of the source classifier's log posterior (ours)", ge=0, search=("uniform", 0.0, 2.0))
    rounds: int = param(20, "of EM, at most (ours)", ge=0)


class BalancedSelfTrainingParams(LogisticParams, SharesParams):
    """What `balanced_self_training` and `logistic_balanced` share."""

    teach_weight: float = param(1.0, "t: what all unlabelled utterances weigh together, with S_l as 1", ge=0, search=("log", 0.1, 100.0))
    rounds: int = param(6, "R: of guessing and fitting; at most, where all join at once", ge=1)
    flow: Literal["both", "source_first", "target"] = param(
        "both", "it teaches itself on S_u and T_u at once, on S_u and then T_u, or on T_u"
    )
    gamma: float = param(1.0, "power of the posteriors before they are balanced; above 1 they are sharper", gt=0, search=("log", 0.25, 4.0))
    join: Literal["all", "ramp"] = param("all", "who is taught in round r: everybody, or of each class the surest r / R")
    confidence: bool = param(False, "an utterance weighs as much as its balanced posterior says")
    correct: bool = param(False, "to b is added in the end what the balancing of T_u adds to each class's logit (v of B1)")


@component(
    "balanced_self_training",
    "methods.balanced_self_training:BalancedSelfTraining",
    cite="arXiv:1911.05371",
    evidence="ours",
    tags=("closed form", "self-training", "transductive", "assumes class shares"),
    own_losses=True,
)
class SelfTrainingParams(BalancedSelfTrainingParams):
    """logistic regression that teaches itself on ever more vectors, with pseudo-labels in class shares: equal unless `shares` is set.

    Parameters of `balanced_self_training`; the defaults are ours: S_u first, then T_u, sure utterances first and with more weight.
    """

    flow: Literal["both", "source_first", "target"] = param(
        "source_first", "whom it teaches itself on: S_u and T_u at once, S_u and then T_u, or T_u"
    )
    join: Literal["all", "ramp"] = param("ramp", "who is taught in round r: everybody, or of each class the surest r / R")
    confidence: bool = param(True, "an utterance weighs as much as its balanced posterior says")


@component(
    "logistic_balanced",
    "methods.balanced_self_training:LogisticBalanced",
    cite="arXiv:1911.05371",
    evidence="ours",
    tags=("closed form", "self-training", "assumes class shares"),
    own_losses=True,
)
class LogisticBalancedParams(BalancedSelfTrainingParams):
    """logistic regression that teaches itself on unlabelled vectors, with pseudo-labels in equal shares.

    Developed while its UAR on pairs of EmoDB, EMOVO and RAVDESS was seen; C and `teach_weight` are neutral values, not those.
    """


@component(
    "sere_plus",
    "methods.sere_plus:SerePlus",
    cite="arXiv:2604.07417, arXiv:1911.05371",
    evidence="ours",
    tags=("closed form", "self-training", "transductive", "assumes class shares", BY_TEXT),
    own_losses=True,
)
class SerePlusParams(LogisticParams, EstimateParams):
    """labels flow within the source first and then to the target, by a network's middle layers.

    For `layer: mix, pool: true` of a pretrained encoder; with the output of one layer the order of the flow is what remains.
    """

    C: float = param(0.02, "inverse strength of the penalty on W where S_l alone is fitted", gt=0, search=("log", 1e-3, 1.0))
    taught_C: float = param(0.002, "the same where pseudo-labels are fitted, too", gt=0, search=("log", 1e-4, 0.1))
    labelled_weight: float = param(5.0, "a: what a labelled utterance weighs", gt=0, search=("log", 1.0, 50.0))
    source_weight: float = param(1.0, "b: what a sure pseudo-label of S_u weighs; 0: labels go to the target at once", ge=0)
    target_weight: float = param(2.0, "what T_u weighs, with S_l and S_u together as 1", gt=0, search=("log", 0.2, 10.0))
    rounds: int = param(2, "how often it teaches itself on T_u; 0: T_u is only balanced", ge=0, search=("int", 0, 5))
    shares: Literal["none", "equal", "estimated"] | Given = param(
        "equal",
        "class shares of pseudo-labels: none are assumed, equal ones, or, of T_u, those estimated by EM (label_shift), "
        + _LISTED
        + "; the prediction is for equal ones",
        search=("choice", ["none", "equal"]),
    )


@component(
    "grand",
    "methods.grand:Grand",
    cite="arXiv:2005.11079",
    tags=("graph", "transductive"),
    own_losses=True,
)
class GrandParams(GraphParams):
    """an MLP on vectors that spread over a graph with dropped nodes agrees with itself; assumes nothing of class shares.

    Parameters of `grand`; the defaults are those of the authors' script for Cora, the graph is ours.
    """

    order: int = param(8, "K: the highest power of the graph that features spread by", ge=0, search=("int", 1, 10))
    draws: int = param(4, "S: draws of dropped nodes in a step", ge=1, search=("choice", [2, 4]))
    drop: float = param(0.5, "delta: share of nodes that a draw drops", ge=0, lt=1, search=("uniform", 0.0, 0.8))
    weight: float = param(1.0, "lambda: weight of the agreement of the draws; 0: the MLP learns S_l alone", ge=0, search=("log", 0.1, 10.0))
    temperature: float = param(
        0.5, "T: of the mean posterior that draws agree with; below 1 it is sharper", gt=0, le=1, search=("uniform", 0.1, 1.0)
    )
    hidden: int = param(32, "width of the MLP", ge=1)
    dropout: float = param(0.5, "of the MLP's inputs and hidden units", ge=0, lt=1, search=("uniform", 0.0, 0.8))
    rate: float = param(10.0, "learning rate as a multiple of the config's; 10 times 0.001 is the authors'", gt=0)
    weight_decay: float = param(5e-4, "of the optimizer; the authors'", ge=0)
    use_source: bool = param(True, "S_u is in the graph, too")


LABEL_PROPAGATION = LabelPropagationParams.spec
LAPLACIAN_SHOT = LaplacianShotParams.spec
LAME = LameParams.spec
PT_MAP = PtMapParams.spec
TIM = TimShannonParams.spec
ALPHA_TIM = AlphaTimParams.spec
EM_GAUSSIANS = EmGaussiansParams.spec
BALANCED_SELF_TRAINING = SelfTrainingParams.spec
LOGISTIC_BALANCED = LogisticBalancedParams.spec
GRAND = GrandParams.spec
SERE_PLUS = SerePlusParams.spec
