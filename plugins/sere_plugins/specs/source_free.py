"""Source-free methods, whose second stage sees the target alone: what they are called and how they are configured."""

from __future__ import annotations

from sere_plugins.specs import Declared, component
from sere_registry import param

_SPREAD = "How even the predictions of the target are: 1 where all classes are equally likely; a fall to 0 is a collapse."


class SourceFreeParams(Declared):
    """What source-free methods share."""

    decay: bool = param(False, "the learning rate falls as (1 + 10 t)^-0.75 over each stage, as in the authors' code")
    smoothing: float = param(0.1, "label smoothing of the source stage", ge=0, lt=1)
    features_scale: float = param(
        1.0,
        "learning rate of everything but the classifier, as a multiple; the authors take 0.1 for a pre-trained trunk and 1 "
        "for the layer after it",
        gt=0,
        search=("log", 1e-2, 1.0),
    )
    source_budget: float = param(0.5, "share of the epochs that the source stage gets; the rest adapts", gt=0, lt=1)


class NeighbourParams(SourceFreeParams):
    """What those share that look for neighbours."""

    neighbours: int = param(3, "K: neighbours that an utterance should agree with", ge=1, search=("int", 1, 10))


@component(
    "nrc",
    "methods.nrc:Nrc",
    cite="arXiv:2110.04202",
    tags=("source-free", "assumes balanced classes"),
    own_losses=True,
    diagnostics={"reciprocal": "Share of reciprocal ones among the last batch's neighbours.", "spread": _SPREAD},
)
class NrcParams(NeighbourParams):
    """source-free: T_u agrees with its neighbours, most with reciprocal ones; assumes a balanced T_u.

    Parameters of `nrc`; the defaults are those of the authors' Office-Home script.
    """

    expanded: int = param(2, "M: neighbours of each neighbour", ge=1, search=("int", 1, 10))
    affinity: float = param(0.1, "r: weight of a neighbour that is not a reciprocal one (those weigh 1)", ge=0, le=1)
    expanded_affinity: float = param(0.1, "weight of a neighbour's neighbour; r in the paper; 0: they do not count", ge=0, le=1)
    self_term: bool = param(False, "agree with one's own score in the bank too: in the paper's formula, not in its code")
    diversity: float = param(1.0, "weight of the term that keeps the mean prediction of a batch spread; 0: predictions may collapse", ge=0)


@component(
    "shot",
    "methods.shot:Shot",
    cite="arXiv:2002.08546",
    tags=("source-free", "assumes balanced classes"),
    own_losses=True,
    diagnostics={
        "spread": "How even the mean prediction of the last batch is: 1 where uniform; a fall to 0 is a collapse.",
        "missing": "Classes that no pseudo-label has.",
        "corrected": "Share of the pseudo-labels that are not what the classifier predicted.",
    },
)
class ShotParams(SourceFreeParams):
    """source-free: T_u moves to the frozen source classifier, by information and pseudo-labels of centroids; assumes a balanced T_u."""

    pseudo_weight: float = param(
        0.3, "weight of cross-entropy with the pseudo-labels, as in the authors' code", ge=0, search=("log", 0.03, 3.0)
    )
    diversity: float = param(1.0, "weight of the term that keeps the mean prediction of a batch spread; 0: predictions may collapse", ge=0)
    threshold: int = param(0, "a class predicted no more often than this gets no centroid, and no pseudo-label", ge=0)
    every: int = param(1, "epochs between two assignments of pseudo-labels; 1: as by the authors' defaults, 15 in 15 epochs", ge=1)


@component(
    "aad",
    "methods.aad:Aad",
    cite="arXiv:2205.04183",
    tags=("source-free",),
    own_losses=True,
    diagnostics={"spread": _SPREAD},
)
class AadParams(NeighbourParams):
    """source-free: T_u agrees with its neighbours, and disagrees with the rest of the batch.

    The defaults are those of the authors' script for VisDA, of 12 classes: what is dispersed grows with the batch over the number of
    classes, so that those for Office-Home (K = 3, beta = 0, 65 classes) outweigh all attraction where classes are few.
    """

    neighbours: int = param(5, "K: neighbours that an utterance should agree with", ge=1, search=("int", 1, 10))
    dispersal: float = param(1.0, "alpha: weight of the second term at first; 0: predictions may collapse", ge=0, search=("log", 0.1, 10.0))
    fall: float = param(
        5.0, "beta: the weight falls as (1 + 10 t)^-beta over the stage; 0: it stays", ge=0, search=("choice", [0.0, 0.25, 0.75, 2.0, 5.0])
    )


@component(
    "ecan_reconstructed",
    "methods.ecan:Ecan",
    cite="arXiv:2401.12925",
    evidence="reconstructed",
    tags=("source-free", "contrastive", "assumes balanced classes"),
    own_losses=True,
    diagnostics={"spread": _SPREAD, "classes": "How many classes the pseudo-labels of the last batch have."},
)
class EcanParams(NeighbourParams):
    """source-free: contrast of T_u with its neighbours and within pseudo-labels; assumes a balanced T_u.

    Reconstructed: the terms are known, their details are not; all defaults are ours.
    """

    temperature: float = param(0.1, "tau of both contrasts: what cosines are divided by (ours)", gt=0, search=("log", 0.02, 1.0))
    neighbour_weight: float = param(1.0, "lambda: weight of the contrast with neighbours (ours)", ge=0, search=("log", 0.1, 10.0))
    class_weight: float = param(0.5, "beta: weight of the contrast within pseudo-labels (ours)", ge=0, search=("log", 0.05, 5.0))
    diversity: float = param(1.0, "weight of the term that keeps the mean prediction of a batch spread; 0: predictions may collapse", ge=0)


NRC = NrcParams.spec
SHOT = ShotParams.spec
AAD = AadParams.spec
ECAN = EcanParams.spec
