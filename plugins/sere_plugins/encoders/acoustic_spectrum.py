"""Spectral descriptors, one value every 10 ms: loudness, cepstrum, and the balance of low and high frequencies."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from sere_core.public import SAMPLE_RATE, centred, decibels, mel_filters, power

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: samples between two frames (10 ms) and in a frame (32 ms)
STEP, WINDOW = 160, 512
CEPSTRA = 12
#: Hz, the edges of the broad bands whose share of the energy is described
BANDS = (0, 250, 650, 1000, 2000, 3000, 4000, 5500, 8000)

#: the descriptors, in the order of the encoder's columns
SPECTRAL: tuple[str, ...] = (
    *("loudness", "level"),
    *(f"mfcc{number}" for number in range(1, CEPSTRA + 1)),
    *("slope500", "slope1500", "slope4000", "alpha", "hammarberg"),
    *(f"band{edge}" for edge in BANDS[1:]),
    *("centroid", "spread", "rolloff25", "rolloff50", "rolloff85", "entropy", "flux"),
)


def spectral(samples: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Name -> `[T]`, T = ceil(N / 160); loudness (auditory, compressed), level (dB), mfcc1.., ratios (dB), slopes (dB per kHz), ..."""
    spectrum = power(centred(samples, WINDOW, STEP))
    hertz = np.arange(WINDOW // 2 + 1, dtype=np.float32) * (SAMPLE_RATE / WINDOW)
    bands = decibels(spectrum @ mel_filters(40, WINDOW), floor=-110)
    found: dict[str, NDArray[np.float32]] = {}
    # Zwicker's compression of band power, as in eGeMAPS' loudness; its logarithm is what speakers differ in by a shift
    found["loudness"] = 10 * np.log10(np.power(spectrum @ mel_filters(26, WINDOW), 0.3).sum(axis=1) + 1e-4)
    found["level"] = decibels(spectrum.sum(axis=1))
    cepstra = bands @ _cosines(CEPSTRA, 40)
    found.update({f"mfcc{number + 1}": cepstra[:, number] for number in range(CEPSTRA)})
    log = decibels(spectrum, floor=-110)
    for low, high in ((0, 500), (500, 1500), (1000, 4000)):
        found[f"slope{high}"] = _slope(log, hertz, low, high)
    found["alpha"] = _band(spectrum, hertz, 50, 1000) - _band(spectrum, hertz, 1000, 5000)
    found["hammarberg"] = log[:, hertz <= 2000].max(axis=1) - log[:, (hertz > 2000) & (hertz <= 5000)].max(axis=1)
    total = decibels(spectrum.sum(axis=1), floor=-110)
    for low, high in itertools.pairwise(BANDS):
        found[f"band{high}"] = _band(spectrum, hertz, low, high) - total
    share = spectrum / (spectrum.sum(axis=1, keepdims=True) + 1e-12)
    found["centroid"] = share @ hertz
    found["spread"] = np.sqrt(np.maximum(share @ hertz**2 - found["centroid"] ** 2, 0))
    cumulated = np.cumsum(share, axis=1)
    for part in (25, 50, 85):
        found[f"rolloff{part}"] = hertz[np.minimum((cumulated < part / 100).sum(axis=1), len(hertz) - 1)]
    found["entropy"] = -(share * np.log2(share + 1e-9)).sum(axis=1)
    shape = bands - bands.mean(axis=1, keepdims=True)
    found["flux"] = np.abs(np.diff(shape, axis=0, prepend=shape[:1])).mean(axis=1)
    return {name: values.astype(np.float32) for name, values in found.items()}


def _cosines(count: int, bands: int) -> NDArray[np.float32]:
    """The discrete cosine transform without its constant: `[bands, count]`."""
    places = (np.arange(bands)[:, None] + 0.5) * np.arange(1, count + 1)[None, :]
    result: NDArray[np.float32] = (np.cos(np.pi * places / bands) * np.sqrt(2 / bands)).astype(np.float32)
    return result


def _band(spectrum: NDArray[np.float32], hertz: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    return decibels(spectrum[:, (hertz >= low) & (hertz < high)].sum(axis=1), floor=-110)


def _slope(log: NDArray[np.float32], hertz: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """The regression line's slope in dB per kHz."""
    inside = (hertz >= low) & (hertz <= high)
    x = (hertz[inside] - hertz[inside].mean()) / 1000
    result: NDArray[np.float32] = log[:, inside] @ (x / (x @ x))
    return result
