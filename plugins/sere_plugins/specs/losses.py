"""Losses: what they are called and how they are configured."""

from __future__ import annotations

from typing import Literal

from sere_plugins.specs import Declared, component
from sere_registry import param

_TRIC = {
    "prototype_spread": "Mean distance of the class prototypes from their centre; near 0 all classes have drawn together into one point.",
    "aligned_norm": "Mean length of the aligned representations.",
    "similarity": "Mean resonance S of the matched pairs, larger where they resonate more.",
    "embedding_norm": "Mean length of the embeddings; a fall to 0 is a collapse.",
    "pseudo_share": "Share of each class among the pseudo-labels of the last step.",
    "pseudo_entropy": "How even the pseudo-labels are: 1 where all classes are equally frequent, 0 where there is only one.",
    "anchor_top": "Share of the choices of an anchor that fell on the labelled utterance chosen most; near 1 one utterance teaches alone.",
    "anchor_share": "Share of the choices of an anchor that fell on each class.",
    "anchor_used": "Share of each class's labelled utterances that were chosen as an anchor at all.",
}


@component("coral", "losses.coral:Coral", cite="arXiv:1607.01719", tags=("domain alignment",))
class CoralParams(Declared):
    """Deep CORAL: the covariances of source and target embeddings move together."""

    use_source: bool = param(True, "the source side is S_l and S_u together; false: S_l alone")


@component(
    "fixmatch",
    "losses.fixmatch:FixMatch",
    cite="arXiv:2001.07685",
    tags=("consistency", "two views"),
    diagnostics={"mask": "Share of the last batch that was confident enough to teach; near 0 nothing is learnt from the target."},
)
class FixMatchParams(Declared):
    """FixMatch: confident guesses on a weak view of T_u supervise a strong view."""

    threshold: float = param(
        0.95,
        "tau: the least confidence of the weak view that teaches the strong one; above 1: none does",
        gt=0,
        search=("uniform", 0.5, 0.99),
    )


@component(
    "mean_teacher",
    "losses.mean_teacher:MeanTeacher",
    cite="arXiv:1703.01780",
    tags=("consistency", "two views"),
    diagnostics={"agreement": "Share of the last batch that student and teacher put into the same class."},
)
class MeanTeacherParams(Declared):
    """Mean Teacher: on one view of T_u the student agrees with its moving average on the other."""

    ema: float = param(0.999, "a: decay of the teacher, smaller in the first steps", ge=0, lt=1, search=("choice", [0.9, 0.99, 0.999]))
    ramp: float = param(0.4, "share of the stage over which the weight rises", gt=0, le=1, search=("uniform", 0.1, 1.0))
    student: Literal["weak", "strong"] = param("strong", "the view that the student gets; the teacher gets the other")
    use_source: bool = param(False, "student and teacher agree on S_u too; false: on T_u alone")
    predict: Literal["teacher", "student"] = param("teacher", "who predicts")


@component("cross_entropy", "losses.cross_entropy:CrossEntropy", tags=("supervised",))
class CrossEntropyParams(Declared):
    """cross-entropy on the labelled source utterances."""

    label_smoothing: float = param(0.0, "the probability that is spread evenly over all classes", ge=0, lt=1, search=("uniform", 0.0, 0.3))
    view: Literal["none", "weak"] = param("none", "the labelled utterances as they are, or their weak view")


@component("tric", "losses.tric:Tric", cite="arXiv:2604.07417", evidence="reconstructed", tags=("sere",), diagnostics=_TRIC)
class TricParams(Declared):
    """SERE's triple-resonance interaction chain: prototype, intra-source and cross-lingual resonance."""

    prototype_weight: float = param(
        0.001,
        "lambda_PR of equation 10; 0: no prototype term; large values draw all classes into one point",
        ge=0,
        search=("log", 1e-4, 1.0),
    )
    dual_weight: float = param(
        0.1,
        "lambda_DR of equation 10; 0: no dual term; large values cost a pretrained encoder's frames what tells emotions apart",
        ge=0,
        search=("log", 1e-2, 10.0),
    )
    anchors_from: Literal["target", "chain", "relay"] = param(
        "target",
        "[R] U of equation 7: `target`: T_u; `chain`: S_u and then T_u, both anchored in S_l; `relay`: the same, T_u anchored in S_u, "
        "which passes on its pseudo-labels",
        search=("choice", ["target", "chain", "relay"]),
    )
    mix: Literal["mean", "resonance"] = param(
        "mean",
        "[R] m_j of equation 7: the mean of g_j and g_a, or their mean with weights 1 and max(S, 0)",
        search=("choice", ["mean", "resonance"]),
    )
    prototype_loss: Literal["euclidean", "contrastive"] = param(
        "euclidean",
        "equation 8: the distance of zt_j to its prototype, or cross-entropy over the cosines to all prototypes",
        search=("choice", ["euclidean", "contrastive"]),
    )
    contrast_temperature: float = param(0.1, "for `contrastive`: what the cosines are divided by", gt=0, search=("log", 0.02, 1.0))
    distance: Literal["cosine", "euclidean"] = param(
        "cosine", "[R] dist of equation 9: 1 - cosine, or Euclidean", search=("choice", ["cosine", "euclidean"])
    )
    squared: bool = param(True, "[R] Euclidean distances (equations 8 and 9) are squared")
    normalise: Literal["none", "l2"] = param(
        "none",
        "[R] g and zt in equations 7 to 9 as they are, as the paper writes them, or at length 1, which keeps them from shrinking",
        search=("choice", ["none", "l2"]),
    )
    predict: Literal["classifier", "prototype", "resonance"] = param(
        "classifier",
        "[R] who predicts: the classifier on g, the nearest labelled class mean, or the class of the labelled utterance of largest S",
        search=("choice", ["classifier", "prototype", "resonance"]),
    )
    predict_temperature: float = param(1.0, "for `prototype` and `resonance`: what scores are divided by before the softmax", gt=0)


class TricAssignedParams(TricParams):
    """Parameters of `tric`, and of how assigned pseudo-labels are learnt."""

    teach_weight: float = param(
        1.0, "the weight of cross-entropy between T_u's logits and its pseudo-labels", ge=0, search=("log", 0.1, 10.0)
    )
    view: Literal["none", "weak", "strong"] = param(
        "none", "which view of T_u learns its pseudo-labels; `none`: the utterances as they are"
    )
    soft: bool = param(False, "T_u learns its balanced posteriors instead of the class that is largest in them")
    temperature: float = param(1.0, "what logits are divided by before they are balanced", gt=0, search=("log", 0.25, 4.0))
    rounds: int = param(50, "scalings of rows and columns in the balancing", ge=1)


@component(
    "tric_balanced",
    "losses.tric_balanced:TricBalanced",
    cite="arXiv:2604.07417, arXiv:1911.05371",
    evidence="ours",
    tags=("sere", "self-training"),
    diagnostics={**_TRIC, "assigned_confidence": "Mean largest share of a pseudo-label, 1 where none is in doubt."},
)
class TricBalancedParams(TricAssignedParams):
    """a variant of TRIC, not the paper's: pseudo-labels in equal shares, which also teach the classifier.

    Equal shares were developed as in `logistic_balanced`, on target labels of EmoDB, EMOVO and RAVDESS.
    """

    balance: bool = param(True, "pseudo-labels are assigned in equal shares; false: the classifier's predictions (a control)")
    teacher: Literal["classifier", "logistic"] = param(
        "classifier",
        "who assigns: the classifier after each epoch, or `logistic_balanced` on the utterance vectors, once",
        search=("choice", ["classifier", "logistic"]),
    )
    teacher_C: float = param(1.0, "for `logistic`: inverse weight of its squared norm", gt=0, search=("log", 1e-4, 1e2))


@component(
    "tric_pooled",
    "losses.tric_pooled:TricPooled",
    cite="arXiv:2604.07417, doi:10.1145/279943.279962",
    evidence="ours",
    tags=("sere", "self-training"),
    diagnostics=_TRIC,
)
class TricPooledParams(TricAssignedParams):
    """a variant of TRIC, not the paper's: SERE's network and a logistic regression assign, learn and
    predict together.

    Equal shares were developed as in `logistic_balanced`, on target labels of EmoDB, EMOVO and RAVDESS.
    """

    C: float = param(1.0, "of the logistic regression: inverse weight of its squared norm", gt=0, search=("log", 1e-4, 1e2))
    predict: Literal["pool", "classifier", "prototype", "resonance"] = param(  # type: ignore[assignment]
        "pool", "who predicts: the classifier on g and the logistic regression together, or as in `tric`"
    )
    correct: bool = param(True, "for `pool`: to each class's logit is added what the balancing of T_u added to it")


CORAL = CoralParams.spec
FIXMATCH = FixMatchParams.spec
MEAN_TEACHER = MeanTeacherParams.spec
CROSS_ENTROPY = CrossEntropyParams.spec
TRIC = TricParams.spec
TRIC_BALANCED = TricBalancedParams.spec
TRIC_POOLED = TricPooledParams.spec
