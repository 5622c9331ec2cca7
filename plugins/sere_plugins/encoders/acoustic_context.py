"""Statistics of descriptors around each frame and over the whole utterance, over those frames only where they mean something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Mask = NDArray[np.bool_]

#: fewer frames than this have no spread
FEW = 3
#: by how much the loudness must fall on both sides of a peak: 3 dB of level are about 1
PROMINENCE = 1.0


def grouped(values: Array, mask: Mask, size: int) -> Array:
    """The mean of each `size` frames in a row, `[T, L]` -> `[ceil(T / size), L]`, over frames of the mask.

    A group without one gets the mean over the mask: a neutral value, so that the mean over all groups stays near that over
    the mask.
    """
    sums, counts = _sums(values, mask, size)
    whole = values[mask].mean(axis=0)
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], whole).astype(np.float32)


def around(values: Array, mask: Mask, size: int, reach: int) -> tuple[Array, Array]:
    """Mean and standard deviation of the frames within `reach` of each group's centre, two `[ceil(T / size), L]`.

    Computed by cumulative sums.  Where fewer than three frames of the mask are near, the mean over the mask and the mean of the
    other spreads stand.
    """
    centre = values[mask].mean(axis=0).astype(np.float64)
    shifted = (values - centre) * mask[:, None]  # small numbers, so that the difference of squares stays exact
    count = -(-len(values) // size)
    middles = np.arange(count) * size + size // 2
    low, high = np.clip(middles - reach, 0, len(values)), np.clip(middles + reach, 0, len(values))
    parts = (shifted, shifted**2, mask[:, None].astype(np.float64))
    totals = [np.concatenate([np.zeros((1, part.shape[1])), np.cumsum(part, axis=0)]) for part in parts]
    sums, squares, weights = (total[high] - total[low] for total in totals)
    enough = weights[:, 0] >= FEW
    mean = sums / np.maximum(weights, 1)
    spread = np.sqrt(np.maximum(squares / np.maximum(weights, 1) - mean**2, 0))
    usual = spread[enough].mean(axis=0) if enough.any() else np.zeros(values.shape[1])
    return (
        np.where(enough[:, None], mean + centre, centre).astype(np.float32),
        np.where(enough[:, None], spread, usual).astype(np.float32),
    )


def percentiles(values: Array) -> list[float]:
    """The 5th, 20th, 50th, 80th and 95th percentile, and the ranges 20-80 and 5-95."""
    found = np.percentile(values, [5, 20, 50, 80, 95])
    return [*found, found[3] - found[1], found[4] - found[0]]


def slopes(values: Array, rate: float) -> list[float]:
    """Mean and standard deviation (per second) of the rises and of the falls of a smoothed contour."""
    if len(values) < FEW:
        return [0.0] * 4
    change = np.diff(smooth(values, 5)) * rate
    found = []
    for part in (change[change > 0], change[change < 0]):
        found += [float(part.mean()), float(part.std())] if len(part) else [0.0, 0.0]
    return found


def smooth(values: Array, width: int) -> Array:
    """A moving average; the ends are held."""
    padded = np.pad(values.astype(np.float64), width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid").astype(np.float32)


def rhythm(loudness: Array, active: Mask, voiced: Mask, rate: float) -> list[float]:
    """Syllable-like rates and lengths, in seconds.

    Loudness peaks per second, voiced stretches per second, mean and spread of the lengths of voiced stretches and of the gaps
    between them, the voiced share of speech, the length of speech and its logarithm.
    """
    from scipy.signal import find_peaks

    seconds = active.sum() / rate
    quiet = loudness[active].min() - PROMINENCE  # what lies around speech, so that a peak at its edge is one
    level = np.pad(np.where(active, smooth(loudness, 7), quiet), 1, constant_values=quiet)
    peaks, _ = find_peaks(level, prominence=PROMINENCE)
    edges = np.diff(np.concatenate([[0], voiced.astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
    lengths, gaps = (ends - starts) / rate, (starts[1:] - ends[:-1]) / rate
    if not len(gaps):
        gaps = np.full(1, 0.1)
    return [
        len(peaks) / seconds,
        len(starts) / seconds,
        lengths.mean(),
        lengths.std(),
        gaps.mean(),
        gaps.std(),
        voiced.sum() / active.sum(),
        seconds,
        float(np.log(seconds)),
    ]


def _sums(values: Array, mask: Mask, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    missing = -len(values) % size
    chosen = np.pad(np.where(mask[:, None], values, 0).astype(np.float64), ((0, missing), (0, 0)))
    counts = np.pad(mask.astype(np.float64), (0, missing))
    return chosen.reshape(-1, size, values.shape[1]).sum(axis=1), counts.reshape(-1, size).sum(axis=1)
