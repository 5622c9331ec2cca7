"""Fusion: encoders of several streams, and the semi-supervised cross-lingual method of soft and hard pseudo-labels."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from sere_plugins.specs import Declared, component
from sere_registry import Part, param

#: HuBERT + MFCC + prosody in the paper; the nearest there is of them
_STREAMS = (Part(use="sere.hubert"), Part(use="sere.logmel"), Part(use="sere.acoustic"))


@component("concatenation", "encoders.fusion:Concatenation")
class ConcatenationParams(Declared):
    """the frozen frames of several encoders side by side (early fusion), or those of one at another frame rate.

    If a stream is pooled over time all are: one row of their means stands for an utterance.
    """

    streams: tuple[Part, ...] = param(_STREAMS, "encoders as {use, params}; of each its frozen part", parts="encoder", min_length=1)
    rate: Literal[10, 20, 25, 50, 100] = param(25, "frames per second of the grid that all streams are brought to")


@component("fusion_reconstructed", "encoders.fusion:Fusion", cite="arXiv:2501.10408", evidence="reconstructed")
class FusionParams(Declared):
    """the frozen parts of several encoders, fused by cross-attention, after HuMP-CAT.

    Which stream queries which, and all sizes, are unknown: ours.
    """

    streams: tuple[Part, ...] = param(
        _STREAMS, "encoders as {use, params}; of each its frozen part, the first one queries", parts="encoder"
    )
    queries: Literal["first", "each"] = param(
        "first", "who queries all others: the first stream, or each", search=("choice", ["first", "each"])
    )
    rate: Literal[10, 20, 25, 50, 100] = param(25, "frames per second of the grid that all streams are brought to (ours)")
    dim: int = param(
        64, "width of each stream as projected, and of each pair's output (ours)", ge=8, multiple_of=8, search=("choice", [32, 64, 128])
    )
    heads: Literal[1, 2, 4, 8] = param(4, "heads of the attention (ours)")
    hidden: int = param(128, "width of the feed-forward layer (ours)", ge=1, search=("choice", [64, 128, 256]))
    dropout: float = param(0.1, "dropout after attention and feed-forward layer (ours)", ge=0, lt=1, search=("uniform", 0.0, 0.5))

    @model_validator(mode="after")
    def _fits(self) -> FusionParams:
        if len(self.streams) < 2:
            raise ValueError("streams: a fusion needs at least two")
        return self


@component(
    "soft_hard_reconstructed",
    "methods.soft_hard:SoftHard",
    cite="arXiv:2207.06767",
    evidence="reconstructed",
    own_losses=True,
    tags=("self-training",),
    diagnostics={
        "hard": "The share of T_u whose pseudo-label of the last round is above the threshold.",
        "changed": "The share of T_u whose most likely class the last round changed.",
        "missing": "How many classes no utterance of T_u had as its most likely one in the last round.",
    },
)
class SoftHardParams(Declared):
    """soft and hard pseudo-labels on T_u, assigned anew in rounds, after Agarla et al. 2022.

    No class shares are assumed; a class that is never predicted is never taught.
    """

    labels: Literal["both", "hard", "soft"] = param(
        "both",
        "hard above the threshold and soft below; hard above it and nothing below; or soft for all (which of them, ours)",
        search=("choice", ["both", "hard", "soft"]),
    )
    threshold: float = param(0.9, "the least confidence of a hard pseudo-label (ours)", ge=0, le=1, search=("uniform", 0.5, 0.99))
    rounds: int = param(
        3, "how often pseudo-labels are assigned, evenly over the stage; before, S_l alone (ours)", ge=1, search=("int", 1, 5)
    )
    weight: float = param(1.0, "of the pseudo-labels' term (ours)", ge=0, search=("log", 0.1, 10.0))


CONCATENATION = ConcatenationParams.spec
FUSION = FusionParams.spec
SOFT_HARD = SoftHardParams.spec
