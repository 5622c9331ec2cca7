"""Losses and methods that compare two views of an utterance: what they are called and how they are configured."""

from __future__ import annotations

from typing import Literal

from sere_plugins.specs import Declared, component
from sere_registry import param


@component(
    "pi_model",
    "losses.mean_teacher:PiModel",
    cite="arXiv:1610.02242",
    tags=("consistency", "two views"),
    diagnostics={"agreement": "Share of the last batch that is put into the same class on both views."},
)
class PiModelParams(Declared):
    """the Pi-model: on one view of T_u the network agrees with itself on the other."""

    ramp: float = param(
        0.4, "share of the stage over which the weight rises, as in `mean_teacher`", gt=0, le=1, search=("uniform", 0.1, 1.0)
    )
    student: Literal["weak", "strong"] = param("strong", "the view that learns; the other teaches, without gradient")
    use_source: bool = param(False, "agree on S_u too; false: on T_u alone")


_SPREAD = {"spread": "How the projections of the last batch spread over directions: near 1 in all, 0 is a collapse into one point."}


class SiameseParams(Declared):
    """What SimSiam and BYOL share; widths are ours, of the size of an utterance embedding."""

    hidden: int = param(512, "width of the hidden layers (ours; the authors' 2048 and 4096)", ge=16, search=("choice", [128, 256, 512]))
    width: int = param(128, "width of projections and predictions (ours; the authors' 2048 and 256)", ge=16)
    norm: Literal["batch", "layer"] = param("batch", "between the layers of projector and predictor: BatchNorm (the authors') or LayerNorm")
    use_source: bool = param(False, "self-supervision on S_u too; false: on T_u alone")


@component("simsiam", "losses.siamese:SimSiam", cite="arXiv:2011.10566", tags=("self-supervised", "two views"), diagnostics=_SPREAD)
class SimSiamParams(SiameseParams):
    """SimSiam beside cross-entropy: each view of T_u predicts the projection of the other."""


@component("byol", "losses.siamese:Byol", cite="arXiv:2006.07733", tags=("self-supervised", "two views"), diagnostics=_SPREAD)
class ByolParams(SiameseParams):
    """BYOL beside cross-entropy: each view of T_u predicts what a moving average projects from the other."""

    tau: float = param(
        0.97,
        "what the decay of the target network starts with on its way to 1; the authors' for their shortest schedule, of 40 epochs",
        ge=0,
        le=1,
        search=("choice", [0.9, 0.97, 0.99, 0.996]),
    )


@component(
    "simsiam_probe",
    "methods.probe:Probe",
    cite="arXiv:2011.10566",
    tags=("self-supervised", "two views"),
    own_losses=True,
    diagnostics=_SPREAD,
)
class SimSiamProbeParams(SimSiamParams):
    """SimSiam on unlabelled utterances alone, then a linear classifier on S_l."""

    use_source: bool = param(True, "the representation is learnt on S_u and T_u; false: on T_u alone")
    represent: float = param(0.5, "share of the epochs that the representation gets; the classifier gets the rest (ours)", gt=0, lt=1)


@component(
    "byol_probe",
    "methods.probe:Probe",
    cite="arXiv:2006.07733",
    tags=("self-supervised", "two views"),
    own_losses=True,
    diagnostics=_SPREAD,
)
class ByolProbeParams(ByolParams):
    """BYOL on unlabelled utterances alone, then a linear classifier on S_l."""

    use_source: bool = param(True, "the representation is learnt on S_u and T_u; false: on T_u alone")
    represent: float = param(0.5, "share of the epochs that the representation gets; the classifier gets the rest (ours)", gt=0, lt=1)


@component(
    "mixmatch",
    "losses.mixmatch:MixMatch",
    cite="arXiv:1905.02249",
    tags=("consistency", "self-training", "two views"),
    diagnostics={"confidence": "Mean largest share in the sharpened guesses of the last batch; 1 where none is in doubt."},
)
class MixMatchParams(Declared):
    """MixMatch: sharpened guesses on T_u, and MixUp of labelled and unlabelled utterance embeddings; takes the place of cross-entropy."""

    temperature: float = param(0.5, "T of the sharpening (paper and code)", gt=0, le=1, search=("uniform", 0.25, 1.0))
    alpha: float = param(0.5, "a of Beta(a, a) (the authors' code; 0.75 in the paper)", gt=0, search=("uniform", 0.25, 1.0))
    unlabelled_weight: float = param(
        10.0,
        "lambda_u at the end of its rise (the audio configs of Semi-supervised-learning, which mix embeddings, too; the authors' 100 is "
        "for images)",
        ge=0,
        search=("log", 1.0, 100.0),
    )
    ramp: float = param(0.4, "share of the stage over which lambda_u rises (the same configs; the authors' is the first 64th)", gt=0, le=1)


@component(
    "u_erms_reconstructed",
    "losses.u_erms_reconstructed:UErms",
    cite="Zhang et al., U-ERMS, Applied Soft Computing, 2025",
    evidence="reconstructed",
    tags=("self-supervised",),
)
class UErmsParams(Declared):
    """U-ERMS, reconstructed from its abstract: embeddings of masked speech are mapped to those of the whole, on source and target."""

    share: float = param(0.3, "the largest share of an utterance's frames that is masked (ours)", ge=0, lt=1, search=("uniform", 0.1, 0.6))
    span: float = param(0.2, "seconds of a masked span (ours): 10 frames at 50 a second", gt=0, search=("uniform", 0.1, 0.5))
    hidden: int = param(512, "width of the hidden layer of h (ours)", ge=4)
    source: Literal["all", "labelled", "none"] = param(
        "all", "where the source is reconstructed, beside T_u: S_l and S_u, S_l alone, or nowhere (a control: the target alone)"
    )


@component(
    "prototype_consistency",
    "losses.prototype_consistency:PrototypeConsistency",
    cite="Xu et al., Semi-supervised Semantic Segmentation with Prototype-based Consistency Regularization, NeurIPS 2022",
    tags=("consistency", "self-training", "two views"),
    diagnostics={
        "mask": "Share of the last batch that was confident enough to teach; near 0 nothing is learnt from the target.",
        "started": "Share of the classes that have prototypes; below 1 a class had no label in any batch.",
    },
)
class PrototypeConsistencyParams(Declared):
    """a second classifier of several prototypes per class; a teacher's confident guesses on T_u supervise both."""

    prototypes: int = param(
        2, "M: prototypes of each class (ours, for few labels; the paper's 4, as we recall it)", ge=1, search=("int", 1, 4)
    )
    temperature: float = param(0.1, "tau: what cosines are divided by (the authors' code)", gt=0, search=("log", 0.02, 1.0))
    decay: float = param(0.99, "rho: decay of the prototypes (the authors' code)", ge=0, le=1, search=("choice", [0.9, 0.99, 0.999]))
    threshold: float = param(
        0.8,
        "t: the least confidence of the teacher that teaches (the paper's, as we recall it); above 1: none does",
        gt=0,
        search=("uniform", 0.5, 0.99),
    )
    unlabelled_weight: float = param(1.0, "lambda_u: weight of the terms on T_u (ours)", ge=0, search=("log", 0.1, 10.0))
    ema: float = param(0.999, "decay of the teacher, as in `mean_teacher` (ours)", ge=0, lt=1, search=("choice", [0.9, 0.99, 0.999]))
    predict: Literal["teacher", "student"] = param("teacher", "who predicts, with the linear classifier")


PI_MODEL = PiModelParams.spec
PROTOTYPE_CONSISTENCY = PrototypeConsistencyParams.spec
U_ERMS_RECONSTRUCTED = UErmsParams.spec
MIXMATCH = MixMatchParams.spec
SIMSIAM = SimSiamParams.spec
BYOL = ByolParams.spec
SIMSIAM_PROBE = SimSiamProbeParams.spec
BYOL_PROBE = ByolProbeParams.spec
