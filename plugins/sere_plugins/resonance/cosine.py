"""The field without its burst term: R is the frame cosine alone, and every frame is a highlight."""

from __future__ import annotations

from sere_plugins.resonance.base import FrameField
from sere_registry import BuildContext, NoParams


class Cosine(FrameField):
    """R_ij = cos(z_i^a, z_j^b); told and S by equations 5 and 6 with H_a = all real frames of a."""

    def __init__(self, params: NoParams, context: BuildContext) -> None:
        super().__init__()
