"""Losses beside cross-entropy that need no view, no adversary and no bank: what they are called and how they are configured."""

from __future__ import annotations

from typing import Literal

from sere_plugins.specs import Declared, component
from sere_registry import param

_SIDE = "the source side is S_l and S_u together; false: S_l alone; ours: thirty utterances estimate a kernel mean poorly"


@component("dan", "losses.dan:Dan", cite="arXiv:1502.02791", tags=("domain alignment",))
class DanParams(Declared):
    """DAN: the embeddings of source and target get the same kernel mean (MK-MMD)."""

    kernels: int = param(5, "Gaussian kernels; as in transferlearning and Transfer-Learning-Library", ge=1, search=("choice", [1, 3, 5, 7]))
    factor: float = param(2.0, "of a bandwidth to the one below it; as in both", gt=1, search=("log", 1.5, 4.0))
    estimate: Literal["biased", "unbiased"] = param(
        "biased",
        "the V-statistic, 0 for equal samples; or the U-statistic, which may be below 0",
        search=("choice", ["biased", "unbiased"]),
    )
    layers: Literal["embedding", "both"] = param(
        "embedding", "what is aligned: g, or g and the logits, each with bandwidths of its own", search=("choice", ["embedding", "both"])
    )
    use_source: bool = param(True, _SIDE)


@component("mcc", "losses.mcc:Mcc", cite="arXiv:1912.03699", tags=("self-training",))
class MccParams(Declared):
    """minimum class confusion: no class of T_u is taken for another. Assumes that a batch holds several classes."""

    temperature: float = param(2.5, "T, by which logits are divided; the paper's", gt=0, search=("log", 1.0, 5.0))


@component("entropy_min", "losses.entropy:EntropyMin", cite="Grandvalet and Bengio, NIPS 2004", tags=("self-training",))
class EntropyMinParams(Declared):
    """entropy minimisation: predictions on T_u become sure. Nothing keeps them from becoming one class."""

    use_source: bool = param(False, "on S_u too; false: on T_u alone")


@component(
    "information_max",
    "losses.entropy:InformationMax",
    cite="arXiv:2002.08546",
    tags=("self-training",),
    diagnostics={"spread": "Entropy of the last batch's mean prediction over log C: 1 where classes are predicted equally often."},
)
class InformationMaxParams(Declared):
    """information maximisation: predictions on T_u become sure, and in the mean even. Assumes equal class shares."""

    diversity: float = param(1.0, "weight of the second term; as in SHOT", ge=0, search=("log", 0.1, 3.0))
    use_source: bool = param(False, "on S_u too; false: on T_u alone")


@component(
    "pseudo_label",
    "losses.pseudo_label:PseudoLabel",
    cite="Lee, Pseudo-Label, ICML workshop 2013",
    tags=("self-training",),
    diagnostics={"mask": "Share of the last batch that was confident enough to teach."},
)
class PseudoLabelParams(Declared):
    """Pseudo-Label: the class that is most probable now counts as the label of an unlabelled utterance."""

    threshold: float = param(
        0.95, "the least confidence that teaches: USB's; 0: all, as in the paper; above 1: none", ge=0, search=("uniform", 0.5, 0.99)
    )
    ramp: float = param(0.4, "share of the stage over which the weight rises from 0; USB's", ge=0, le=1, search=("uniform", 0.0, 1.0))
    use_source: bool = param(True, "on S_u too; false: on T_u alone")


@component("supcon", "losses.supcon:SupCon", cite="arXiv:2004.11362", tags=("contrastive", "supervised"))
class SupConParams(Declared):
    """SupCon: labelled utterances of a class attract each other, against all others."""

    temperature: float = param(0.07, "tau; the authors' code", gt=0, search=("log", 0.02, 1.0))
    base_temperature: float = param(0.07, "tau_base, by which the loss is scaled: tau / tau_base; the authors' code", gt=0)
    projection: int = param(
        128, "width of the head's output; the authors' code; 0: no head, g itself", ge=0, search=("choice", [0, 64, 128])
    )


@component(
    "center",
    "losses.center:Center",
    cite="Wen et al., A discriminative feature learning approach for deep face recognition, ECCV 2016",
    tags=("supervised",),
)
class CenterParams(Declared):
    """centre loss: labelled embeddings draw near the centre of their class, which follows them."""

    rate: float = param(0.5, "alpha: how far centres move at a step; the paper's", ge=0, le=1, search=("uniform", 0.1, 1.0))


DAN = DanParams.spec
MCC = MccParams.spec
ENTROPY_MIN = EntropyMinParams.spec
INFORMATION_MAX = InformationMaxParams.spec
PSEUDO_LABEL = PseudoLabelParams.spec
SUPCON = SupConParams.spec
CENTER = CenterParams.spec
