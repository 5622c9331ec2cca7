"""Contours -> static features: the work that is done once per utterance, in numpy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sere_plugins.specs.dynamics import ContourParams
from sere_registry.protocols import ContourName

#: what the extractors read; `periodicity` only decides where f0 is meant
CONTOURS: tuple[ContourName, ...] = ("f0", "periodicity", "rms", "mfcc2", "centroid")
#: the features k = 1..4 of equation 1, in order
FEATURES: tuple[ContourName, ...] = ("f0", "rms", "mfcc2", "centroid")
#: 0 semitones: A1, below every speaking voice
REFERENCE_HZ = 55.0


def pitch(f0: NDArray[np.floating], periodicity: NDArray[np.floating], params: ContourParams) -> NDArray[np.float64]:
    """f0 with its unvoiced stretches filled: a jump to zero is not an emotional burst [R].

    Args:
        f0: `[T]`, hertz; anything where there is no voice.
        periodicity: `[T]`, 0 to 1.

    Returns:
        `[T]`, hertz or semitones; all zeros if no frame is voiced.

    >>> f0, voiced = np.array([100.0, 999.0, 200.0, 999.0]), np.array([0.9, 0.1, 0.9, 0.1])
    >>> pitch(f0, voiced, ContourParams()).tolist(), pitch(f0, voiced, ContourParams(unvoiced="hold")).tolist()
    ([100.0, 150.0, 200.0, 200.0], [100.0, 100.0, 200.0, 200.0])
    """
    values = np.asarray(f0, dtype=np.float64)
    voiced = (np.asarray(periodicity) >= params.periodicity) & np.isfinite(values) & (values > 0)
    if not voiced.any():
        return np.zeros_like(values)
    at = np.flatnonzero(voiced)
    known = values[at] if params.f0_scale == "hz" else 12.0 * np.log2(values[at] / REFERENCE_HZ)
    if params.unvoiced == "zero":
        filled = np.zeros_like(values)
        filled[at] = known
        return filled
    steps = np.arange(len(values))
    if params.unvoiced == "interpolate":
        return np.interp(steps, at, known)
    last = np.searchsorted(at, steps, side="right") - 1  # -1 before the first voiced frame, which then lends its value
    return known[np.maximum(last, 0)]


def static_features(contours: Mapping[str, NDArray[np.float32]], params: ContourParams) -> NDArray[np.float32]:
    """f_t^k: the four contours on the encoder's frame grid, each `[T]` -> `[T, 4]`."""
    f0 = pitch(contours["f0"], contours["periodicity"], params).astype(np.float32)
    return np.stack([f0, *(contours[name].astype(np.float32) for name in FEATURES[1:])], axis=1)
