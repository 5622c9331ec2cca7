"""Mean and spread, with the n that they are of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from sere_core.compare.stats.summary import Spread


def spread(values: Sequence[float]) -> Spread:
    """The mean of n values, their standard deviation with n - 1 (None for n = 1), and n.

    The deviation is of the values, not of their mean: over seeds it says how much a single run varies with its draw of
    shots, folds and initial weights, on the same test speakers.

    Args:
        values: `[n]`, finite, n at least 1.

    Raises:
        ValueError: no values, or one that is not finite.

    >>> spread([0.25, 0.5, 0.75])
    Spread(mean=0.5, std=0.25, n=3)
    >>> spread([0.5])
    Spread(mean=0.5, std=None, n=1)
    """
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError("a spread needs at least one value, and finite ones")
    numbers = [float(value) for value in values]
    return Spread(fmean(numbers), stdev(numbers) if len(numbers) > 1 else None, len(numbers))
