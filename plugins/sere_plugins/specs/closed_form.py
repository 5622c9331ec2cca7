"""Methods that adapt utterance vectors in closed form: what they are called and how they are configured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sere_plugins.specs import Declared, component
from sere_registry import param


class RegressionParams(Declared):
    """Of every regression to labels in rounds of pseudo-labels."""

    alignment: float = param(1.0, "lambda: weight of the gaps between marginal and class means", ge=0, search=("log", 1e-3, 1e3))
    rounds: int = param(20, "how often pseudo-labels are made anew, at most; they usually settle sooner", ge=1)
    iterations: int = param(200, "reweighting steps of each round, at most", ge=1)
    tolerance: float = param(1e-9, "relative fall of the objective below which a round has converged", ge=0)


@component(
    "jdar",
    "methods.jdar:Jdar",
    cite="Zhang et al., Cross-Corpus Speech Emotion Recognition Using Joint Distribution Adaptive Regression, ICASSP 2021",
    evidence="reconstructed",
    tags=("closed form",),
    own_losses=True,
)
class JdarParams(RegressionParams):
    """joint distribution adaptive regression: a sparse linear map in closed form that aligns marginal and
    class means.

    Parameters of `jdar`; the paper's grids of lambda and mu are unknown.
    """

    sparsity: float = param(1.0, "mu: weight of the l2,1 norm of the projection", gt=0, search=("log", 1e-3, 1e3))
    axis: Literal["rows", "columns"] = param(
        "rows", "whose l2 norms are summed: rows of P select features (the paper's motive), columns are its formula to the letter"
    )


@component(
    "jiasl_reconstructed",
    "methods.jiasl:Jiasl",
    cite="Lu et al., Electronics 11(17) 2745, 2022",
    evidence="reconstructed",
    tags=("closed form",),
    own_losses=True,
)
class JiaslParams(JdarParams):
    """JIASL, reconstructed from its abstract: regression to labels in whose outputs target utterances are
    rebuilt from few source utterances.

    Parameters of `jiasl_reconstructed`; the paper's are unknown, these are ours.
    """

    alignment: float = param(1.0, "lambda: weight of what is not rebuilt", ge=0, search=("log", 1e-3, 1e3))
    tau: float = param(0.1, "weight of the l1 norm of W; large: W is 0, and the outputs of T_u shrink", ge=0, search=("log", 1e-3, 1e1))
    iterations: int = param(30, "turns of W and P in each round, at most", ge=1)
    tolerance: float = param(1e-5, "relative fall of the objective below which a round has converged", ge=0)


@component(
    "lrjda_reconstructed",
    "methods.lrjda:Lrjda",
    cite="Li et al., Knowledge-Based Systems 315:113260, 2025",
    evidence="reconstructed",
    tags=("closed form",),
    own_losses=True,
)
class LrjdaParams(RegressionParams):
    """LRJDA, reconstructed from its title: JDAR with a projection of low rank in place of a sparse one.

    Parameters of `lrjda_reconstructed`; the paper's are unknown, these are ours.
    """

    low_rank: float = param(1.0, "mu: weight of the nuclear norm of the projection; large: all is 0", gt=0, search=("log", 1e-3, 1e3))
    iterations: int = param(1000, "steps of ADMM in each round, at most", ge=1)
    tolerance: float = param(1e-6, "relative size of both residuals below which a round has converged", ge=0)


class ProjectedParams(Declared):
    """Of every method that classifies in a space common to source and target."""

    classifier: Literal["nearest", "logistic"] = param(
        "nearest",
        "what is fitted to S_l in the common space: the nearest row, as in the public code, or a logistic regression",
        search=("choice", ["nearest", "logistic"]),
    )
    use_source: bool = param(True, "the source's distribution is that of S_l and S_u together; false: of S_l alone")


@component(
    "coral_classical",
    "methods.coral_classical:CoralClassical",
    cite="arXiv:1511.05547",
    tags=("closed form", "domain alignment"),
    own_losses=True,
)
class CoralClassicalParams(ProjectedParams):
    """CORAL in closed form: source vectors are whitened and recoloured with the target's covariance, then classified with."""

    ridge: float = param(
        1.0, "added to the diagonal of both covariances; 1 in the paper and the public code", ge=0, search=("log", 1e-3, 1e2)
    )


@component(
    "tca",
    "methods.tca:Tca",
    cite="Pan et al., Domain Adaptation via Transfer Component Analysis, IEEE Transactions on Neural Networks 22, 2011",
    tags=("closed form", "domain alignment"),
    own_losses=True,
)
class TcaParams(ProjectedParams):
    """transfer component analysis: components in which the means of source and target agree, then the nearest neighbour.

    Defaults of the public code (transferlearning).
    """

    dim: int = param(30, "how many components, at most", ge=1, search=("int", 5, 100))
    mu: float = param(1.0, "weight of the squared norm of W, against the gap of the means", gt=0, search=("log", 1e-3, 1e3))
    kernel: Literal["primal", "linear", "rbf"] = param(
        "primal",
        "components of the vectors themselves, of their products with all training vectors, or of a Gaussian kernel with these",
        search=("choice", ["primal", "linear", "rbf"]),
    )
    gamma: float = param(1.0, "of the kernel `rbf`: exp(-gamma ||x - x'||^2) of unit vectors", gt=0, search=("log", 1e-2, 1e2))
    scale: Literal["constraint", "unit"] = param(
        "constraint", "components of equal variance, as the paper's constraint says, or W of unit columns, as in the public code"
    )


@component(
    "jda",
    "methods.jda:Jda",
    cite="Long et al., Transfer Feature Learning with Joint Distribution Adaptation, ICCV 2013",
    tags=("closed form", "domain alignment", "self-training"),
    own_losses=True,
)
class JdaParams(TcaParams):
    """joint distribution adaptation: components in which the means of all and of classes agree, with pseudo-labels.

    Defaults of the public code (transferlearning).
    """

    rounds: int = param(10, "how often pseudo-labels are made anew, at most", ge=1)


@component(
    "bda",
    "methods.jda:Bda",
    cite="arXiv:1807.00516",
    tags=("closed form", "domain alignment", "self-training"),
    own_losses=True,
)
class BdaParams(JdaParams):
    """balanced distribution adaptation: JDA whose marginal and conditional parts are weighted.

    Defaults of the public code (transferlearning).
    """

    balance: Literal["estimated"] | Annotated[float, Field(ge=0, le=1)] = param(
        0.5,
        "b (the paper's mu): weight of classes against all; 0: TCA, 0.5: JDA; `estimated`: anew in each round from proxy A-distances",
        search=("uniform", 0.0, 1.0),
    )


@component(
    "wbda",
    "methods.jda:Wbda",
    cite="arXiv:1807.00516",
    tags=("closed form", "domain alignment", "self-training"),
    own_losses=True,
)
class WbdaParams(BdaParams):
    """weighted balanced distribution adaptation: classes of the target weigh as frequent as pseudo-labels say they are.

    Defaults of the public code (transferlearning).
    """

    balance: Literal["estimated"] | Annotated[float, Field(ge=0, le=1)] = param(
        1.0, "as in `bda`; the public code takes 1, classes alone, from the second round on", search=("uniform", 0.0, 1.0)
    )


JDAR = JdarParams.spec
CORAL_CLASSICAL = CoralClassicalParams.spec
TCA = TcaParams.spec
JDA = JdaParams.spec
BDA = BdaParams.spec
WBDA = WbdaParams.spec
JIASL = JiaslParams.spec
LRJDA = LrjdaParams.spec
