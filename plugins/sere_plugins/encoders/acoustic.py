"""The default encoder: acoustic descriptors of each frame, of its surroundings and of the whole utterance.

In the spirit of eGeMAPS (Eyben et al. 2016): the mean over frames carries what functionals of an utterance carry, and yet the
frames differ.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_core.public import SAMPLE_RATE, on_grid
from sere_plugins.encoders.acoustic_descriptors import SPECTRAL, STEP, VOICE, Array, spectral, voice
from sere_plugins.specs.encoders import AcousticParams
from sere_registry import BuildContext, Frames
from sere_registry.protocols import ContourName

Mask = NDArray[np.bool_]
#: descriptors per second before they are gathered into frames
BASE = SAMPLE_RATE // STEP
#: speech is what lies within this many dB of the utterance's 95th percentile; voiced is what of it is this periodic
RANGE, VOICED = 35.0, 0.5
#: descriptors (10 ms each) to both sides of a frame that make its surroundings
REACH = 25
#: fewer frames than this have no spread
FEW = 3
#: by how much the loudness must fall on both sides of a peak: 3 dB of level are about 1
PROMINENCE = 1.0

_PERCENTILES = ("p5", "p20", "p50", "p80", "p95", "p20-80", "p5-95")
_SLOPES = ("rise", "rise_spread", "fall", "fall_spread")
_RHYTHM = ("peak_rate", "voiced_rate", "voiced_length", "voiced_spread", "gap_length", "gap_spread", "voiced_share", "length", "log_length")

#: what stands in each column
NAMES: tuple[str, ...] = (
    *(f"{name}" for name in SPECTRAL),
    *(f"{name}, voiced" for name in SPECTRAL + VOICE),
    *(f"{name}, spread around" for name in SPECTRAL),
    *(f"{name}, voiced, {what} around" for what in ("mean", "spread") for name in VOICE),
    *(f"{name}, spread" for name in SPECTRAL),
    *(f"{name}, voiced, spread" for name in SPECTRAL + VOICE),
    *(f"{name} {statistic}" for name in ("f0", "loudness") for statistic in _PERCENTILES + _SLOPES),
    *_RHYTHM,
)


class Acoustic(nn.Module):
    """Descriptors of spectrum and voice every 10 ms, gathered into frames with statistics; frozen.

    Where there is no voice, columns of the voice hold their mean over voiced frames: a neutral value.

    >>> encoder = Acoustic(AcousticParams(), BuildContext("acoustic"))
    >>> contours = {"f0": np.full(51, 200, np.float32), "periodicity": np.ones(51, np.float32)}
    >>> noise = np.random.default_rng(0).normal(size=16000).astype(np.float32)
    >>> encoder.extract(noise, contours, hop=0.02).shape == (25, encoder.input_dim)
    True
    """

    contours: tuple[ContourName, ...] = ("f0", "periodicity")
    normalise = True
    input_dim = dim = len(NAMES)

    def __init__(self, params: AcousticParams, context: BuildContext) -> None:
        super().__init__()
        self.rate = float(params.rate)
        self.offset = 0.5 / params.rate
        self._size = BASE // params.rate

    def fingerprint(self) -> Mapping[str, object]:
        """The frame rate."""
        return {"rate": self.rate}

    def extract(self, waveform: Array, contours: Mapping[str, Array], hop: float) -> Array:
        """`[ceil(seconds * rate), F]`, the columns as in `NAMES`."""
        count = -(-len(waveform) // STEP)
        f0, periodicity = (on_grid(contours[name], hop, BASE, 0.5 / BASE, count) for name in self.contours)
        sound = spectral(waveform)
        spectrum = np.stack([sound[name] for name in SPECTRAL], axis=1)
        speaking = voice(waveform, f0, periodicity)
        both = np.concatenate([spectrum, np.stack([speaking[name] for name in VOICE], axis=1)], axis=1)
        active, voiced = masks(sound["level"], periodicity)
        voice_only = both[:, len(SPECTRAL) :]
        frames = [
            grouped(spectrum, active, self._size),
            grouped(both, voiced, self._size),
            around(spectrum, active, self._size, REACH)[1],
            *around(voice_only, voiced, self._size, REACH),
        ]
        whole = [
            *spectrum[active].std(axis=0),
            *both[voiced].std(axis=0),
            *percentiles(speaking["f0"][voiced]),
            *slopes(speaking["f0"][voiced], BASE),
            *percentiles(sound["loudness"][active]),
            *slopes(sound["loudness"][active], BASE),
            *rhythm(sound["loudness"], active, voiced, BASE),
        ]
        rows = np.broadcast_to(np.array(whole, dtype=np.float32), (len(frames[0]), len(whole)))
        return np.concatenate([*frames, rows], axis=1)

    def lengths(self, lengths: Tensor) -> Tensor:
        """The same."""
        return lengths

    def forward(self, frames: Frames) -> Frames:
        """The same: nothing is trained."""
        return frames


def masks(level: Array, periodicity: Array) -> tuple[Mask, Mask]:
    """Which descriptors belong to speech, and which of these to voice; never none, so that every mean exists.

    A pause does not describe an emotion but a corpus: some cut their recordings tightly, some leave seconds of silence.
    """
    active = level > np.percentile(level, 95) - RANGE
    voiced = active & (periodicity > VOICED)
    if voiced.sum() < FEW:  # whispered, or too short: what comes nearest to a voice
        voiced = np.zeros_like(active)
        voiced[np.argsort(-np.where(active, periodicity, -1.0), kind="stable")[:FEW]] = True
    return active | voiced, voiced


def grouped(values: Array, mask: Mask, size: int) -> Array:
    """The mean of each `size` frames in a row, `[T, L]` -> `[ceil(T / size), L]`, over frames of the mask.

    A group without one gets the mean over the mask: a neutral value, so that the mean over all groups stays near that over
    the mask.
    """
    missing = -len(values) % size
    chosen = np.pad(np.where(mask[:, None], values, 0).astype(np.float64), ((0, missing), (0, 0)))
    sums = chosen.reshape(-1, size, values.shape[1]).sum(axis=1)
    counts = np.pad(mask.astype(np.float64), (0, missing)).reshape(-1, size).sum(axis=1)
    whole = values[mask].mean(axis=0)
    means: Array = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], whole).astype(np.float32)
    return means


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
    from scipy.signal import find_peaks  # a second of imports, which frames from the cache do not need

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
