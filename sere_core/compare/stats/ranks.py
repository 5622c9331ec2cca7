"""Average ranks over pairs with Friedman's test and Nemenyi's critical difference: the data of a critical-difference diagram."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.stats.paired import ALPHA


@dataclass(frozen=True)
class Ranking:
    """Average ranks over pairs, the best first, without ceilings: the data of a critical-difference diagram.

    Args:
        blocks: the pairs that were ranked, each by the mean over the seeds that all `rows` share.
        friedman_p: Friedman's test that all rows are alike; None with fewer than three rows or two blocks.
        critical: Nemenyi's critical difference of average ranks at `ALPHA`.
        groups: maximal sets of neighbours in `rows` that differ by less than `critical`: the bars of the diagram.
    """

    rows: tuple[str, ...]
    average: tuple[float, ...]
    blocks: tuple[str, ...]
    friedman_p: float | None
    critical: float
    groups: tuple[tuple[str, ...], ...]
    left_out: tuple[str, ...] = ()


def rank_rows(scores: NDArray[np.float64], rows: Sequence[str], blocks: Sequence[str], left_out: Sequence[str] = ()) -> Ranking:
    """Rank k rows within each of N blocks (pairs) and average the ranks; 1 is best, equal scores share the mean of their ranks.

    Nemenyi's critical difference is  q_alpha sqrt(k (k + 1) / (6 N)),  q_alpha the quantile of the studentised range for k groups
    and infinite degrees of freedom over sqrt(2) (J. Demsar, JMLR 7, 2006, section 3.2.2).

    Raises:
        ValueError: scores that are not finite `[k, N]` of the rows and blocks, k at least 2.

    >>> found = rank_rows(np.array([[0.5, 0.6], [0.7, 0.8], [0.7, 0.4]]), ["a", "b", "c"], ["de>it", "it>de"])
    >>> found.rows, found.average, round(found.critical, 3)
    (('b', 'c', 'a'), (1.25, 2.25, 2.5), 2.344)
    """
    from scipy import stats

    k, n = scores.shape
    if k < 2 or n < 1 or k != len(rows) or n != len(blocks) or not np.isfinite(scores).all():
        raise ValueError("finite scores [rows, blocks] of at least two rows and one block")
    within = stats.rankdata(-np.round(scores, 12), axis=0)
    average = within.mean(axis=1)
    order = np.argsort(average, kind="stable")
    critical = float(stats.studentized_range.ppf(1 - ALPHA, k, np.inf)) * math.sqrt(k * (k + 1) / (12 * n))
    friedman = None  # it needs three rows and two blocks, and says 1 where every block is one tie
    if k >= 3 and n >= 2:
        friedman = 1.0 if (within == within[0]).all() else float(stats.friedmanchisquare(*within).pvalue)
    names, ranks = tuple(rows[i] for i in order), tuple(float(average[i]) for i in order)
    return Ranking(names, ranks, tuple(blocks), friedman, critical, _groups(names, ranks, critical), tuple(left_out))


def _groups(names: Sequence[str], ranks: Sequence[float], critical: float) -> tuple[tuple[str, ...], ...]:
    """Maximal runs of at least two neighbours whose ends are closer than the critical difference."""
    groups: list[tuple[int, int]] = []
    for start in range(len(ranks)):
        end = max(i for i in range(start, len(ranks)) if ranks[i] - ranks[start] < critical or i == start)
        if end > start and not (groups and groups[-1][1] >= end):
            groups.append((start, end))
    return tuple(tuple(names[start : end + 1]) for start, end in groups)
