"""Paired tests between two rows, and ranks of all.

Runs that share something are flipped together, as a unit.  `draw`, source corpus and seed: such runs are trained on the same shots.
`pair`, means over seeds: the only unit that speaks about other languages.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ncfdtrinc, stdtrit

from sere_core.score.interval import ALPHA

Array = NDArray[np.float64]

#: up to this many units that differ, all 2^n flips are enumerated
MOST_EXACT = 20
FLIPS = 20_000
#: differences no larger are ties, and count as zero
EPSILON = 1e-9


@dataclass(frozen=True)
class Paired:
    """The outcome of comparing two rows; the defaults are of rows that share no run.

    Args:
        difference: mean over pairs of the mean over runs.
        p, p_wilcoxon: two-sided, of the sign-flip and the signed-rank test over units; `p_least` is the smallest possible `p`.
        std, effect: of the units' differences, with n - 1, and Cohen's d_z.
        n, units, pairs: how many; `wins`, `ties` and `losses` are among runs.
    """

    difference: float | None = None
    p: float = 1.0
    p_wilcoxon: float = 1.0
    p_least: float = 1.0
    std: float | None = None
    effect: float | None = None
    rank_biserial: float = 0.0
    n: int = 0
    units: int = 0
    pairs: int = 0
    wins: int = 0
    ties: int = 0
    losses: int = 0


def paired(differences: Sequence[float], pairs: Sequence[str], units: Sequence[Hashable]) -> Paired:
    """Compare two rows over the runs that both have; `differences` are row minus reference.

    Each pair weighs the same in the mean; a unit's difference is what its runs contribute to it, times the number of units.
    ValueError for no differences, different lengths, or a difference that is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not len(values) or not len(values) == len(pairs) == len(units) or not np.isfinite(values).all():
        raise ValueError("one finite difference for each run, with its pair and unit, and at least one")
    values = np.where(np.abs(values) <= EPSILON, 0.0, values)
    size = Counter(pairs)
    weights = np.array([1 / (len(size) * size[pair]) for pair in pairs])
    names = {name: place for place, name in enumerate(dict.fromkeys(units))}
    by_unit: Array = np.zeros(len(names))
    np.add.at(by_unit, [names[name] for name in units], values * weights * len(names))
    difference = float(values @ weights)
    std = float(by_unit.std(ddof=1)) if len(names) > 1 else None
    p_wilcoxon, biserial = wilcoxon(by_unit)
    return Paired(
        difference=difference,
        p=sign_flip(by_unit),
        p_wilcoxon=p_wilcoxon,
        p_least=least(len(names)),
        std=std,
        effect=difference / std if std is not None and std > EPSILON else None,
        rank_biserial=biserial,
        n=len(values),
        units=len(names),
        pairs=len(size),
        wins=int((values > 0).sum()),
        ties=int((values == 0).sum()),
        losses=int((values < 0).sum()),
    )


def sign_flip(values: Array) -> float:
    """The two-sided p of the mean under random signs (R. A. Fisher, The Design of Experiments, 1935, section 21).

    All 2^n patterns for up to 20 values that are not zero, else `FLIPS` random ones and the observed one.
    """
    sizes = np.sort(np.abs(values[values != 0]))  # the distribution under the null knows no signs and no order
    if not len(sizes):
        return 1.0
    observed = abs(float(values.sum())) - 1e-12 * float(sizes.sum())
    if len(sizes) <= MOST_EXACT:
        sums = sizes[:1]  # the first sign is fixed: a pattern and its negative have the same |sum|
        for size in sizes[1:]:
            sums = np.concatenate((sums + size, sums - size))
        return float((np.abs(sums) >= observed).mean())
    signs = np.random.default_rng(0).integers(0, 2, size=(FLIPS, len(sizes))) * 2 - 1
    return float(1 + (np.abs(signs @ sizes) >= observed).sum()) / (1 + FLIPS)


def least(units: int) -> float:
    """The smallest p that `sign_flip` gives for so many values, none of them zero."""
    return 2.0 ** (1 - units) if units <= MOST_EXACT else 1 / (1 + FLIPS)


def wilcoxon(values: Array) -> tuple[float, float]:
    """The two-sided p of the signed-rank test without zeros (F. Wilcoxon, 1945), and the rank-biserial correlation.

    Sizes that differ by rounding alone are equal.  Up to `MOST_EXACT` values the p is exact, also with ties.
    """
    kept = values[values != 0]
    if not len(kept):
        return 1.0, 0.0
    step = float(np.abs(kept).max()) * 1e-10
    ranks = np.sign(kept) * stats.rankdata(np.round(np.abs(kept) / step))
    p = sign_flip(ranks) if len(kept) <= MOST_EXACT else float(stats.wilcoxon(ranks).pvalue)
    return p, float(ranks.sum() / np.abs(ranks).sum())


def holm(values: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down adjusted p-values (Scandinavian Journal of Statistics 6, 1979); ValueError outside of [0, 1]."""
    if not all(0 <= value <= 1 for value in values):
        raise ValueError("p-values lie in [0, 1]")
    adjusted, highest = [0.0] * len(values), 0.0
    for place, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - place) * values[index]))
        adjusted[index] = highest
    return tuple(adjusted)


def smallest_detectable(std: float | None, n: int, alpha: float, power: float = 0.8) -> float | None:
    """The smallest true mean difference that a paired two-sided test over n units finds with the given power.

    Solves  P(|T'| > t_{n-1, 1-alpha/2}) = power,  T' noncentral t with noncentrality delta sqrt(n) / std,  for delta (J. Cohen,
    Statistical Power Analysis, 1988, chapter 2); the square of a noncentral t is a noncentral F.  It stands in for the sign-flip
    test.  None for n < 2, for a deviation of zero, and where no p can be below alpha.
    """
    if std is None or std <= 0 or n < 2 or 2.0 ** (1 - n) >= alpha:
        return None
    edge = stdtrit(n - 1, 1 - alpha / 2)
    return math.sqrt(ncfdtrinc(1, n - 1, 1 - power, edge**2) / n) * std


@dataclass(frozen=True)
class Ranking:
    """Average ranks over pairs (`blocks`), the best first, without ceilings.

    Args:
        friedman_p: Friedman's test that all rows are alike; None with fewer than three rows or two blocks.
        critical: Nemenyi's critical difference of average ranks at `ALPHA`.
        groups: maximal sets of neighbours in `rows` that differ by less than `critical`.
    """

    rows: tuple[str, ...]
    average: tuple[float, ...]
    blocks: tuple[str, ...]
    friedman_p: float | None
    critical: float
    groups: tuple[tuple[str, ...], ...]
    left_out: tuple[str, ...] = ()


def rank_rows(scores: NDArray[np.float64], rows: Sequence[str], blocks: Sequence[str], left_out: Sequence[str] = ()) -> Ranking:
    """Rank k rows within each of N blocks (pairs) and average the ranks; `scores` are `[k, N]` and finite, else ValueError.

    Nemenyi's critical difference is  q_alpha sqrt(k (k + 1) / (6 N)),  q_alpha the quantile of the studentised range for k groups
    and infinite degrees of freedom over sqrt(2) (J. Demsar, JMLR 7, 2006, section 3.2.2).
    """
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
    """Maximal runs of neighbours whose ends are closer than the critical difference."""
    groups: list[tuple[int, int]] = []
    for start in range(len(ranks)):
        end = max(i for i in range(start, len(ranks)) if ranks[i] - ranks[start] < critical or i == start)
        if end > start and not (groups and groups[-1][1] >= end):
            groups.append((start, end))
    return tuple(tuple(names[start : end + 1]) for start, end in groups)
