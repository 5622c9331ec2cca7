"""A small convolutional network, trained from scratch on log-mel bands."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sere_core.functional.frames import power_spectra
from sere_core.public import SAMPLE_RATE, centred, decibels, mel_filters, power
from sere_plugins.specs.encoders import LogMelParams
from sere_registry import BuildContext, Frames

#: samples between two rows that `extract` returns (50 per second), and in a window (32 ms)
STEP, WINDOW = 320, 512


class LogMel(nn.Module):
    """Log-mel bands at 50 frames per second -> residual convolutions at 25 frames per second.

    Padding changes nothing: it is set to zero before each convolution, as if the utterance ended there, and frames are
    normalised one by one (layer norm), so that an utterance's frames do not depend on what it is batched with.

    >>> encoder = LogMel(LogMelParams(dim=8), BuildContext("mel"))
    >>> frames = Frames(torch.randn(2, 11, 64), torch.ones(2, 11, dtype=torch.bool), 50.0)
    >>> encoder(frames).values.shape
    torch.Size([2, 6, 8])
    """

    contours: tuple[()] = ()
    normalise = True
    rate = SAMPLE_RATE / STEP / 2
    offset = STEP / 2 / SAMPLE_RATE

    def __init__(self, params: LogMelParams, context: BuildContext) -> None:
        super().__init__()
        self.input_dim, self.dim = params.bands, params.dim
        self.first = nn.Conv1d(params.bands, params.dim, params.kernel, stride=2, padding=params.kernel // 2)
        self.layers = nn.ModuleList(
            nn.Conv1d(params.dim, params.dim, params.kernel, padding=params.kernel // 2) for _ in range(params.layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(params.dim) for _ in range(params.layers + 1))
        self.dropout = nn.Dropout(params.dropout)

    def fingerprint(self) -> Mapping[str, object]:
        """The bands and the frames of `extract`; the network is trained, and not part of it."""
        return {"bands": self.input_dim, "step": STEP, "window": WINDOW}

    def extract(self, waveform: NDArray[np.float32], contours: Mapping[str, NDArray[np.float32]], hop: float) -> NDArray[np.float32]:
        """Mel bands in dB, `[ceil(N / 320), bands]`, not below -100."""
        return decibels(power(centred(waveform, WINDOW, STEP)) @ mel_filters(self.input_dim, WINDOW))

    def traced(self, samples: Tensor) -> Tensor:
        """What `extract` returns, in torch."""
        window = torch.hann_window(WINDOW)
        count = torch.div(samples.shape[0] + STEP - 1, STEP, rounding_mode="floor")
        padded = functional.pad(samples[None], ((WINDOW - STEP) // 2, WINDOW))
        power = power_spectra(padded, window, STEP)[0, :count] * (4.0 / window.sum() ** 2)
        bands = power @ torch.from_numpy(mel_filters(self.input_dim, WINDOW).copy())
        return 10 * bands.clamp(min=1e-10).log10()

    def lengths(self, lengths: Tensor) -> Tensor:
        """Half as many, rounded up."""
        return (lengths + 1) // 2

    def forward(self, frames: Frames) -> Frames:
        """`[B, T, bands]` -> `[B, ceil(T / 2), dim]`."""
        mask = frames.mask[:, ::2]
        x = self._norm(0, self.first(self._silenced(frames.values, frames.mask)))
        for number, layer in enumerate(self.layers, start=1):
            x = x + self._norm(number, layer(self._silenced(x, mask)))
        return Frames(x * mask.unsqueeze(-1), mask, self.rate)

    def _norm(self, number: int, x: Tensor) -> Tensor:
        normed: Tensor = self.dropout(functional.gelu(self.norms[number](x.transpose(1, 2))))
        return normed

    @staticmethod
    def _silenced(x: Tensor, mask: Tensor) -> Tensor:
        return torch.where(mask.unsqueeze(-1), x, torch.zeros_like(x)).transpose(1, 2)
