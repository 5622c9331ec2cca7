"""Loudness and zero crossings, frame by frame, and a trained linear map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_example.specs import EnvelopeParams
from sere_registry import BuildContext, Frames

#: samples of a frame (20 ms), and how many pieces it is looked at in
STEP, PIECES = 320, 4


class Envelope(nn.Module):
    """The frozen part, `extract`, is cached on disk; the trained part, `forward`, is the map."""

    contours: tuple[()] = ()
    normalise = True
    input_dim = 2 * PIECES
    rate = 16000 / STEP
    offset = STEP / 2 / 16000

    def __init__(self, params: EnvelopeParams, context: BuildContext) -> None:
        super().__init__()
        self.dim = params.dim
        self.map = nn.Linear(self.input_dim, self.dim)

    def fingerprint(self) -> Mapping[str, Any]:
        """All that the output of `extract` depends on."""
        return {"step": STEP, "pieces": PIECES}

    def extract(self, waveform: NDArray[np.float32], contours: Mapping[str, NDArray[np.float32]], hop: float) -> NDArray[np.float32]:
        """16 kHz samples -> `[ceil(N / 320), 8]`: log power and zero crossings of each piece."""
        pieces = np.pad(waveform, (0, -len(waveform) % STEP)).reshape(-1, PIECES, STEP // PIECES)
        power = np.log(np.square(pieces).mean(axis=2) + 1e-8)
        crossings = (np.diff(np.signbit(pieces), axis=2) != 0).mean(axis=2)
        return np.concatenate([power, crossings], axis=1).astype(np.float32)

    def lengths(self, lengths: Tensor) -> Tensor:
        """As many as there are rows."""
        return lengths

    def forward(self, frames: Frames) -> Frames:
        """`[B, T, 8]` -> `[B, T, dim]`, zero in padded frames."""
        inside = frames.mask.unsqueeze(-1)
        return Frames(self.map(frames.values.masked_fill(~inside, 0.0)) * inside, frames.mask, self.rate)
