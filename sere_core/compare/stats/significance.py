"""Corrections for many rows, ranks within pairs, and the test that takes pairs as its units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: differences no larger are ties, and count as zero
EPSILON = 1e-9
#: up to 13 units all 2^n flips are counted
FLIPS = 9999


def sign_flip(values: Array) -> float:
    """The two-sided p of the mean of units under random signs (R. A. Fisher, The Design of Experiments, 1935, section 21)."""
    kept = np.where(np.abs(values) <= EPSILON, 0.0, values)
    if len(kept) < 2 or not kept.any():
        return 1.0
    from scipy import stats  # as long to import as torch, and a plan needs none

    found = stats.permutation_test((kept,), np.mean, permutation_type="samples", n_resamples=FLIPS, rng=np.random.default_rng(0))
    return float(found.pvalue)


def holm(values: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down adjusted p-values (Scandinavian Journal of Statistics 6, 1979); ValueError outside of [0, 1]."""
    if not all(0 <= value <= 1 for value in values):
        raise ValueError("p-values lie in [0, 1]")
    adjusted, highest = [0.0] * len(values), 0.0
    for place, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - place) * values[index]))
        adjusted[index] = highest
    return tuple(adjusted)


def average_ranks(scores: Array) -> Array:
    """Ranks of k rows within each of N pairs, 1 the best, averaged: `[k]` from `[k, N]`."""
    from scipy import stats

    found: Array = stats.rankdata(-np.round(scores, 12), axis=0).mean(axis=1)
    return found
