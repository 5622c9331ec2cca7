"""Distributions that the tests need, from `scipy.special` and numpy alone: importing `scipy.stats` takes longer than the statistics."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: bisections: the interval's width is below the rounding of its ends after so many
_STEPS = 60

#: Wilcoxon's test is exact up to so many values without ties
_MOST_RANKS = 50


def average_ranks(values: NDArray[np.floating]) -> Array:
    """Ranks from 1 for the smallest of `[n]` values; equal ones share the mean of theirs.

    >>> average_ranks(np.array([0.5, 0.1, 0.5, 0.9]))
    array([2.5, 1. , 2.5, 4. ])
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: Array = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return found


def signed_rank_p(values: Array) -> float:
    """The two-sided p of Wilcoxon's signed-rank test of `[n]` values, none of them zero, n at least 1.

    Exact up to 50 values without ties; else normal, with the variance corrected for ties and not for continuity.

    >>> signed_rank_p(np.array([1.0, 2.0, 3.0, 4.0, 5.0, -6.0]))
    0.4375
    """
    from scipy.special import ndtr

    n, ranks = len(values), average_ranks(np.abs(values))
    total = n * (n + 1) / 2
    lower = min(float(ranks[values > 0].sum()), float(ranks[values < 0].sum()))
    _, ties = np.unique(ranks, return_counts=True)
    if n <= _MOST_RANKS and (ties == 1).all():
        return min(1.0, 2 * float(_rank_sums(n)[: round(lower) + 1].sum()))
    variance = (n * (n + 1) * (2 * n + 1) - float((ties**3 - ties).sum()) / 2) / 24
    return min(1.0, 2 * float(ndtr((lower - total / 2) / math.sqrt(variance))))


@functools.cache
def _rank_sums(n: int) -> Array:
    """P(W = w) of the sum W of those of the ranks 1..n that a fair coin picks, for w = 0 .. n(n+1)/2."""
    chances = np.ones(1)
    for rank in range(1, n + 1):
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2
    return chances


@functools.cache
def range_quantile(level: float, k: int) -> float:
    """The quantile of the range of k independent standard normals: the studentised range with infinite degrees of freedom.

    Solves  k int phi(z) [Phi(z) - Phi(z - q)]^(k-1) dz = level  (J. W. Tukey, The Problem of Multiple Comparisons, 1953).

    Args:
        level: in (0, 1).
        k: at least 2.

    >>> round(range_quantile(0.95, 3) / math.sqrt(2), 3)
    2.344
    """
    from scipy.special import ndtr

    z = np.linspace(-9.0, 9.0, 1801)  # the integrand falls so fast that equal steps are exact to rounding
    density = np.exp(-z * z / 2) * (z[1] - z[0]) / math.sqrt(2 * math.pi)
    below = ndtr(z)
    return _bisected(lambda q: level - k * float(density @ (below - ndtr(z - q)) ** (k - 1)), 0.0, 20.0)


@functools.lru_cache(4096)
def detectable_shift(n: int, alpha: float, power: float) -> float:
    """The noncentrality that a two-sided t test of n values at level alpha finds with this power.

    Solves  P(T'^2 > t_{n-1, 1-alpha/2}^2) = power;  the square of a noncentral t is a noncentral F.

    >>> round(detectable_shift(30, 0.05, 0.8) / math.sqrt(30), 3)
    0.529
    """
    from scipy.special import ncfdtr, stdtrit

    edge = float(stdtrit(n - 1, 1 - alpha / 2))
    return _bisected(lambda shift: float(ncfdtr(1, n - 1, shift**2, edge**2)) - (1 - power), 0.0, 2 * edge + 10)


def friedman_p(ranks: Array) -> float:
    """Friedman's test (chi-square approximation, corrected for ties) of the ranks `[k, N]` of k rows within each of N blocks.

    Not all rows may be tied in every block.

    >>> round(friedman_p(np.array([[1.0, 1.0, 2.0], [2.0, 3.0, 1.0], [3.0, 2.0, 3.0]])), 4)
    0.2636
    """
    from scipy.special import chdtrc

    k, n = ranks.shape
    ties = sum(float((counts**3 - counts).sum()) for counts in (np.unique(block, return_counts=True)[1] for block in ranks.T))
    spread = 12 / (k * n * (k + 1)) * float((ranks.sum(axis=1) ** 2).sum()) - 3 * n * (k + 1)
    return float(chdtrc(k - 1, spread / (1 - ties / (k * (k * k - 1) * n))))


def _bisected(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses zero."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2
