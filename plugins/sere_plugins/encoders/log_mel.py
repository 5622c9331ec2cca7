"""Whisper's input: the log-mel spectrogram."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LogMel(nn.Module):
    """Whisper's log-mel spectrogram (arXiv:2212.04356, section 2.2), on any device and for whole batches.

    The same numbers as transformers' `WhisperFeatureExtractor`, which works on one CPU array at a time: power spectrum under
    a Hann window, Slaney mel filters, log10, at most 80 dB below the window's loudest point, scaled to about [-1, 1].

    Args:
        bands: how many mel bands.
        size: of the Fourier transform, in samples.
        hop: samples between two frames.
    """

    filters: Tensor
    window: Tensor

    def __init__(self, bands: int, size: int, hop: int) -> None:
        super().__init__()
        from transformers.models.whisper.feature_extraction_whisper import WhisperFeatureExtractor

        filters = WhisperFeatureExtractor(feature_size=bands, n_fft=size, hop_length=hop).mel_filters
        self.size, self.hop = size, hop
        self.register_buffer("filters", torch.as_tensor(filters, dtype=torch.float32).T.contiguous(), persistent=False)
        self.register_buffer("window", torch.hann_window(size), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """`[W, N]` -> `[W, bands, N / hop]`, in float32 whatever the autocast."""
        with torch.autocast(samples.device.type, enabled=False):
            spectrum = torch.stft(samples.float(), self.size, self.hop, window=self.window, return_complex=True)
            mel = self.filters @ spectrum[..., :-1].abs().square()
            level = mel.clamp(min=1e-10).log10()
            level = torch.maximum(level, level.amax(dim=(-2, -1), keepdim=True) - 8.0)
            return (level + 4.0) / 4.0
