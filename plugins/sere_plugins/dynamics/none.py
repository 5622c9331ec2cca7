"""No dynamic features (K = 0): equation 2 leaves z = h, and every field sees burst strength 0."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sere_registry import BuildContext, Frames, NoParams
from sere_registry.protocols import ContourName


class NoDynamics(nn.Module):
    """Reads no contour and returns `[B, T, 0]`."""

    contours: tuple[ContourName, ...] = ()
    static_dim = 0
    dim = 0

    def __init__(self, params: NoParams, context: BuildContext) -> None:
        super().__init__()

    def prepare(self, contours: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """`[T, 0]`; T = 0 where no contour tells the length."""
        return np.zeros((max((len(contour) for contour in contours.values()), default=0), 0), dtype=np.float32)

    def forward(self, static: Frames, context: Frames) -> Frames:
        """`[B, T, 0]` on the context's frames; `static` is not read."""
        return Frames(context.values[..., :0], context.mask, context.rate)
