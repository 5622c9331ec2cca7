"""A tiny encoder that reads samples, so that views of the waveform have something to alter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from sere_registry import BuildContext, ComponentSpec, Frames, NoParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STEP = 320
SPEC = ComponentSpec(kind="encoder", name="raw", factory="sere_core.testing.raw:Raw", summary="one convolution over samples")


class Raw(nn.Module):
    """16 kHz samples -> 50 frames a second."""

    input_dim, dim = 1, 4
    rate, offset = 50.0, 0.0
    contours: tuple[()] = ()
    normalise = False

    def __init__(self, params: NoParams, context: BuildContext) -> None:
        super().__init__()
        self.layer = nn.Conv1d(1, self.dim, STEP, stride=STEP)

    def fingerprint(self) -> Mapping[str, Any]:
        return {}

    def extract(self, waveform: NDArray[np.float32], contours: Mapping[str, NDArray[np.float32]], hop: float) -> NDArray[np.float32]:
        return waveform[:, None]

    def lengths(self, lengths: Tensor) -> Tensor:
        return (lengths + STEP - 1) // STEP

    def forward(self, frames: Frames) -> Frames:
        whole = frames.values.masked_fill(~frames.mask.unsqueeze(-1), 0.0).transpose(1, 2)
        values = self.layer(nn.functional.pad(whole, (0, -whole.shape[2] % STEP))).transpose(1, 2)
        return Frames(values, frames.mask[:, ::STEP], self.rate)
