"""Fusion: an encoder of several streams, and the semi-supervised cross-lingual method of soft and hard pseudo-labels."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from sere_plugins.specs import Declared, component
from sere_registry import Part, param

#: HuBERT + MFCC + prosody in the paper; the nearest there is of them
_STREAMS = (Part(use="sere.hubert"), Part(use="sere.logmel"), Part(use="sere.acoustic"))


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


FUSION = FusionParams.spec
