"""Acoustic descriptors, one value every 10 ms: of the spectrum, and of the voice.

Those of the voice mean something on voiced frames only; elsewhere their values are arbitrary (but finite).
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from sere_core.public import SAMPLE_RATE, centred, decibels, mel_filters, power

Array = NDArray[np.float32]
#: samples between two frames (10 ms)
STEP = 160
#: samples of a frame of the spectrum (32 ms)
WINDOW = 512
#: samples of a frame of the voice (64 ms), enough periods of a low voice for its harmonics to stand apart; and padded for
#: the autocorrelation
VOICE_WINDOW, VOICE_SIZE = 1024, 2048
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
#: formants are searched below this frequency (Hz), by this many poles
FORMANT_LIMIT, POLES = 5000.0, 10
FORMANTS = 3

#: the descriptors, in the order of the encoder's columns
VOICE: tuple[str, ...] = (
    *("periodicity", "hnr", "f0", "df0", "jitter", "shimmer", "h1h2", "h1h3"),
    *(f"{what}{number}" for what in ("formant", "bandwidth", "amplitude") for number in range(1, FORMANTS + 1)),
)


def spectral(samples: Array) -> dict[str, Array]:
    """Name -> `[T]`, T = ceil(N / 160); loudness (auditory, compressed), level (dB), mfcc1.., ratios (dB), slopes (dB per kHz), ..."""
    spectrum = power(centred(samples, WINDOW, STEP))
    hertz = np.arange(WINDOW // 2 + 1, dtype=np.float32) * (SAMPLE_RATE / WINDOW)
    bands = decibels(spectrum @ mel_filters(40, WINDOW), floor=-110)
    found: dict[str, Array] = {}
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


def _cosines(count: int, bands: int) -> Array:
    """The discrete cosine transform without its constant: `[bands, count]`."""
    places = (np.arange(bands)[:, None] + 0.5) * np.arange(1, count + 1)[None, :]
    result: Array = (np.cos(np.pi * places / bands) * np.sqrt(2 / bands)).astype(np.float32)
    return result


def _band(spectrum: Array, hertz: Array, low: float, high: float) -> Array:
    return decibels(spectrum[:, (hertz >= low) & (hertz < high)].sum(axis=1), floor=-110)


def _slope(log: Array, hertz: Array, low: float, high: float) -> Array:
    """The regression line's slope in dB per kHz."""
    inside = (hertz >= low) & (hertz <= high)
    x = (hertz[inside] - hertz[inside].mean()) / 1000
    result: Array = log[:, inside] @ (x / (x @ x))
    return result


def voice(samples: Array, f0: Array, periodicity: Array) -> dict[str, Array]:
    """Name -> `[T]`, given f0 (Hz) and periodicity on the grid of `spectral`."""
    spectrum = power(centred(samples, VOICE_WINDOW, STEP), VOICE_SIZE)
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


def _curvature(values: Array) -> Array:
    """By how much a value differs from the mean of its neighbours: a glide has none, a rough voice has much."""
    padded = np.pad(values, 1, mode="edge")
    return (values - (padded[:-2] + padded[2:]) / 2).astype(np.float32)


def _at(rows: Array, places: Array) -> Array:
    """`rows[t, places[t]]` with linear interpolation, `[T, n]` of `[T, n]` fractional places."""
    places = np.clip(places, 0, rows.shape[1] - 1.001)
    left = places.astype(np.int64)
    part = (places - left).astype(np.float32)
    return np.take_along_axis(rows, left, axis=1) * (1 - part) + np.take_along_axis(rows, left + 1, axis=1) * part


def _peak_near(log: Array, hz: Array, reach: Array) -> Array:
    """The highest level (dB) within `reach` of a frequency."""
    offsets = np.linspace(-1, 1, 7, dtype=np.float32)
    places = (hz[:, None] + offsets * reach[:, None]) * np.float32(VOICE_SIZE / SAMPLE_RATE)
    highest: Array = _at(log, places.astype(np.float32)).max(axis=1)
    return highest


def _autocorrelation_peak(spectrum: Array, hz: Array) -> tuple[Array, Array]:
    """The normalised autocorrelation's peak near the pitch period and its lag in samples (Boersma 1993)."""
    correlation = np.fft.irfft(spectrum, axis=1)[:, : VOICE_WINDOW // 2]
    taper = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(VOICE_WINDOW + 1)[:-1], VOICE_SIZE)) ** 2)[: VOICE_WINDOW // 2]
    normal = correlation / np.maximum(correlation[:, :1], 1e-12) / (taper / taper[0])
    lags = (SAMPLE_RATE / hz)[:, None] * np.linspace(0.92, 1.08, 17)
    values = _at(normal.astype(np.float32), lags.astype(np.float32))
    best = values.argmax(axis=1)[:, None]
    return np.take_along_axis(values, best, 1)[:, 0].clip(0.01, 0.999), np.take_along_axis(lags, best, 1)[:, 0].astype(np.float32)


def _formants(spectrum: Array) -> tuple[Array, Array]:
    """Frequencies and bandwidths in Hz, each `[T, 3]`, by selective linear prediction below 5 kHz (Makhoul 1975).

    Every second frame is analysed, and stands for the next one too.
    """
    keep = round(FORMANT_LIMIT * VOICE_SIZE / SAMPLE_RATE) + 1
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
