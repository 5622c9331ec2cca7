"""Short-time spectra and mel filters, for encoders that are made of descriptors rather than weights."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from sere_core.features.audio import SAMPLE_RATE


def centred(samples: NDArray[np.float32], window: int, step: int) -> NDArray[np.float32]:
    """Frames of `window` samples, `[ceil(N / step), window]`, a view; frame k is centred at sample (k + 1/2) * step, zeros outside."""
    count = -(-len(samples) // step)
    before = (window - step) // 2
    after = (count - 1) * step + window - before - len(samples)
    padded = np.pad(samples, (before, max(after, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, window)[: (count - 1) * step + 1 : step]


def power(frames: NDArray[np.float32], size: int | None = None) -> NDArray[np.float32]:
    """Power spectra of Hann-windowed frames, `[T, size // 2 + 1]`; a full-scale sine has about 1 in its bin."""
    width = frames.shape[1]
    window = np.hanning(width + 1)[:-1].astype(np.float32)
    spectra = np.fft.rfft(frames * window, n=size or width, axis=1)
    return (np.square(spectra.real) + np.square(spectra.imag)).astype(np.float32) * np.float32(4.0 / window.sum() ** 2)


@functools.lru_cache(maxsize=16)
def mel_filters(bands: int, size: int) -> NDArray[np.float32]:
    """Triangular filters, 20 to 8000 Hz, equally spaced on the mel scale 2595 log10(1 + f / 700), `[size // 2 + 1, bands]`, of sum 1."""
    lowest, highest = (2595 * np.log10(1 + hertz / 700) for hertz in (20.0, 8000.0))
    edges = 700 * (10 ** (np.linspace(lowest, highest, bands + 2) / 2595) - 1)
    bins = np.arange(size // 2 + 1) * SAMPLE_RATE / size
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0.0, np.minimum(rising, falling))
    empty = np.flatnonzero(filters.sum(axis=0) == 0)  # filters narrower than a bin take the nearest one
    filters[np.abs(bins[:, None] - edges[1:-1][empty]).argmin(axis=0), empty] = 1.0
    result: NDArray[np.float32] = (filters / filters.sum(axis=0)).astype(np.float32)
    result.setflags(write=False)
    return result


def decibels(power: NDArray[np.float32], floor: float = -100.0) -> NDArray[np.float32]:
    """10 log10, not below the floor."""
    return (10 * np.log10(np.maximum(power, 10 ** (floor / 10)))).astype(np.float32)
