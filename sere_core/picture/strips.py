"""The strips of the map of resonance: an utterance's wave, its contours and its bursts, each with its scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sere_core.picture.pair import Voice

Curve = tuple[NDArray[np.floating], NDArray[np.floating]]

#: periodicity from which on f0 is drawn
VOICED = 0.5
_OCTAVES = tuple(float(np.log2(hertz)) for hertz in (60, 80, 100, 120, 150, 200, 250, 300, 400, 500, 600, 800))


@dataclass(frozen=True)
class Strip:
    """One strip.

    Args:
        title, unit: what it is called.
        height: relative to the others.
        kind: how it is drawn.
        values: (times, values) of an utterance; NaN where there is nothing.
        tick: how a value is written on the axis.
        ticks: the first and the last that fit are drawn; none: wherever it looks well.
    """

    title: str
    unit: str
    height: float
    kind: Literal["wave", "line", "area"]
    values: Callable[[Voice], Curve]
    tick: Callable[[float, int], str] = lambda value, _: f"{value:g}"
    ticks: tuple[float, ...] = ()


def _times(voice: Voice, count: int) -> NDArray[np.floating]:
    return np.arange(count) * voice.hop


def _wave(voice: Voice) -> Curve:
    top = float(np.abs(voice.samples).max()) or 1.0
    return np.arange(len(voice.samples)) / 16_000, voice.samples / top


def _pitch(voice: Voice) -> Curve:
    """log2 of f0 where there is voice."""
    f0, voiced = voice.contours["f0"], voice.contours["periodicity"] >= VOICED
    return _times(voice, len(f0)), np.where(voiced & (f0 > 0), np.log2(np.maximum(f0, 1.0)), np.nan)


def _energy(voice: Voice) -> Curve:
    """dB below full scale, no lower than 60 dB below the loudest."""
    level = 20 * np.log10(voice.contours["rms"] + 1e-6)
    return _times(voice, len(level)), np.maximum(level, level.max() - 60)


def _tilt(voice: Voice) -> Curve:
    return _times(voice, len(voice.contours["mfcc2"])), voice.contours["mfcc2"]


def _centroid(voice: Voice) -> Curve:
    return _times(voice, len(voice.contours["centroid"])), voice.contours["centroid"] / 1000


def _bursts(voice: Voice) -> Curve:
    if voice.strength is None:
        return voice.times, np.full(len(voice.times), np.nan)
    return voice.times, voice.strength


STRIPS = (
    Strip("wave", "", 1.15, "wave", _wave, tick=lambda value, _: ""),
    Strip("log f0", "Hz", 1.0, "line", _pitch, lambda value, _: f"{2**value:.0f}", _OCTAVES),
    Strip("energy", "dB", 0.85, "line", _energy),
    Strip("spectral tilt", "2nd MFCC", 0.85, "line", _tilt),
    Strip("centroid", "kHz", 0.85, "line", _centroid),
    Strip("bursts e", "", 1.15, "area", _bursts),
)
