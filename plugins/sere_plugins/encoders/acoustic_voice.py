"""Descriptors of the voice, one value every 10 ms: pitch, harmonics, noise, perturbation and formants.

They mean something on voiced frames only; elsewhere their values are arbitrary (but finite).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sere_core.public import SAMPLE_RATE, centred, decibels, power
from sere_plugins.encoders.acoustic_spectrum import STEP

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: 64 ms, enough periods of a low voice for its harmonics to stand apart; padded to twice as much for the autocorrelation
WINDOW, SIZE = 1024, 2048
#: formants are searched below this frequency (Hz), by this many poles
FORMANT_LIMIT, POLES = 5000.0, 10
FORMANTS = 3

#: the descriptors, in the order of the encoder's columns
VOICE: tuple[str, ...] = (
    *("periodicity", "hnr", "f0", "df0", "jitter", "shimmer", "h1h2", "h1h3"),
    *(f"{what}{number}" for what in ("formant", "bandwidth", "amplitude") for number in range(1, FORMANTS + 1)),
)


def voice(samples: NDArray[np.float32], f0: NDArray[np.float32], periodicity: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Name -> `[T]`, given f0 (Hz) and periodicity on the grid of `acoustic_spectrum.spectral`."""
    spectrum = power(centred(samples, WINDOW, STEP), SIZE)
    hz = np.clip(f0, 50.0, 800.0).astype(np.float32)
    found = {"periodicity": periodicity}
    strength, period = _autocorrelation_peak(spectrum, hz)
    found["hnr"] = 10 * np.log10(strength / (1 - strength))
    pitch = 12 * np.log2(hz / 55.0)
    found["f0"] = pitch
    found["df0"] = np.abs(np.gradient(pitch)) if len(pitch) > 1 else np.zeros_like(pitch)
    refined = 12 * np.log2(SAMPLE_RATE / period / 55.0)
    found["jitter"] = np.log(np.abs(_curvature(refined)) + 0.01)
    log = decibels(spectrum, floor=-110)
    harmonics = np.stack([_peak_near(log, hz * number, hz * 0.25) for number in (1, 2, 3)], axis=1)
    found["h1h2"] = harmonics[:, 0] - harmonics[:, 1]
    found["h1h3"] = harmonics[:, 0] - harmonics[:, 2]
    found["shimmer"] = np.log(np.abs(_curvature(decibels(spectrum.sum(axis=1), floor=-110))) + 0.05)
    frequency, bandwidth = _formants(spectrum)
    for number in range(FORMANTS):
        found[f"formant{number + 1}"] = frequency[:, number]
        found[f"bandwidth{number + 1}"] = bandwidth[:, number]
        found[f"amplitude{number + 1}"] = _peak_near(log, frequency[:, number], np.maximum(hz * 0.5, 60.0)) - harmonics[:, 0]
    return {name: values.astype(np.float32) for name, values in found.items()}


def _curvature(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """By how much a value differs from the mean of its neighbours: a glide has none, a rough voice has much."""
    padded = np.pad(values, 1, mode="edge")
    return (values - (padded[:-2] + padded[2:]) / 2).astype(np.float32)


def _at(rows: NDArray[np.float32], places: NDArray[np.float32]) -> NDArray[np.float32]:
    """`rows[t, places[t]]` with linear interpolation, `[T, n]` of `[T, n]` fractional places."""
    places = np.clip(places, 0, rows.shape[1] - 1.001)
    left = places.astype(np.int64)
    part = (places - left).astype(np.float32)
    return np.take_along_axis(rows, left, axis=1) * (1 - part) + np.take_along_axis(rows, left + 1, axis=1) * part


def _peak_near(log: NDArray[np.float32], hz: NDArray[np.float32], reach: NDArray[np.float32]) -> NDArray[np.float32]:
    """The highest level (dB) within `reach` of a frequency."""
    offsets = np.linspace(-1, 1, 7, dtype=np.float32)
    places = (hz[:, None] + offsets * reach[:, None]) * np.float32(SIZE / SAMPLE_RATE)
    highest: NDArray[np.float32] = _at(log, places.astype(np.float32)).max(axis=1)
    return highest


def _autocorrelation_peak(spectrum: NDArray[np.float32], hz: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The normalised autocorrelation's peak near the pitch period and its lag in samples (Boersma 1993)."""
    correlation = np.fft.irfft(spectrum, axis=1)[:, : WINDOW // 2]
    taper = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(WINDOW + 1)[:-1], SIZE)) ** 2)[: WINDOW // 2]
    normal = correlation / np.maximum(correlation[:, :1], 1e-12) / (taper / taper[0])
    lags = (SAMPLE_RATE / hz)[:, None] * np.linspace(0.92, 1.08, 17)
    values = _at(normal.astype(np.float32), lags.astype(np.float32))
    best = values.argmax(axis=1)[:, None]
    return np.take_along_axis(values, best, 1)[:, 0].clip(0.01, 0.999), np.take_along_axis(lags, best, 1)[:, 0].astype(np.float32)


def _formants(spectrum: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Frequencies and bandwidths in Hz, each `[T, 3]`, by selective linear prediction below 5 kHz (Makhoul 1975).

    Every second frame is analysed, and stands for the next one too.
    """
    keep = round(FORMANT_LIMIT * SIZE / SAMPLE_RATE) + 1
    rate = 2 * FORMANT_LIMIT
    emphasis = 2 - 2 * 0.95 * np.cos(np.linspace(0, np.pi, keep))  # the power response of a pre-emphasis
    correlation = np.fft.irfft(spectrum[::2, :keep] * emphasis, axis=1)[:, : POLES + 1]
    coefficients = _levinson(correlation * np.exp(-0.5 * (2 * np.pi * 40 / rate * np.arange(POLES + 1)) ** 2))
    companion = np.zeros((len(coefficients), POLES, POLES))
    companion[:, np.arange(1, POLES), np.arange(POLES - 1)] = 1
    companion[:, 0, :] = -coefficients[:, 1:]
    roots = np.linalg.eigvals(companion)
    hz = np.angle(roots) * rate / (2 * np.pi)
    width = -np.log(np.maximum(np.abs(roots), 1e-6)) * rate / np.pi
    unfit = (hz < 150) | (hz > FORMANT_LIMIT - 50) | (width > 800)
    order = np.argsort(np.where(unfit, 1e6 + hz, hz), axis=1)[:, :FORMANTS]
    frequency = np.where(np.take_along_axis(unfit, order, 1), np.array([500.0, 1500.0, 2500.0]), np.take_along_axis(hz, order, 1))
    bandwidth = np.take_along_axis(width, order, 1).clip(10, 800)
    count = len(spectrum)
    return np.repeat(frequency, 2, axis=0)[:count].astype(np.float32), np.repeat(bandwidth, 2, axis=0)[:count].astype(np.float32)


def _levinson(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Prediction polynomials `[T, p + 1]` of autocorrelations `[T, p + 1]`, all frames at once."""
    count, width = correlation.shape
    error = correlation[:, 0] * 1.0001 + 1e-12
    result = np.zeros((count, width))
    result[:, 0] = 1
    for order in range(1, width):
        reflection = -(result[:, :order] * correlation[:, order:0:-1]).sum(axis=1) / error
        result[:, 1 : order + 1] += reflection[:, None] * result[:, order - 1 :: -1][:, :order]
        error = error * (1 - reflection**2)
    return result
