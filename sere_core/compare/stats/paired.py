"""Paired tests between two rows: differences of runs, put together into units that are taken as independent.

Runs that share something are not independent.  What is put together into a unit is flipped together:

draw   source corpus and seed (the default): runs of one source and seed are trained on the same shots.  Tests whether the rows
       differ on these pairs and test speakers, over draws of shots, folds and initial weights.
run    pair and seed: takes runs that share their shots as independent; the larger n is optimistic if shots matter.
pair   means over seeds: takes pairs as a sample of pairs.  The only unit that speaks about other languages; n is small.
fold   pair, seed and fold: takes folds of one run as independent, which share shots and most of what they adapt to; optimistic.

Accounted for by none of them: runs of one target and seed share their folds, and a row that does not depend on the source
(a ceiling) has the same run in every pair of a target, so fewer independent runs than units.

All tests are about the mean over pairs of the mean over seeds.  None resamples test speakers: the bootstrap interval does.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.stats.distributions import average_ranks, signed_rank_p

Array = NDArray[np.float64]

#: up to this many units that differ, all 2^n flips are enumerated
MOST_EXACT = 20
FLIPS = 20_000
EPSILON = 1e-9

#: flips that are weighed at once: few enough to stay in the processor's cache
_BLOCK = 1000


@dataclass(frozen=True)
class Paired:
    """The outcome of comparing two rows.

    Args:
        difference: mean over pairs of the mean over runs.
        p: sign-flip permutation test, two-sided.
        p_wilcoxon: Wilcoxon signed-rank test over units, two-sided.
        p_least: the smallest `p` that so many units can give.
        std: of the units' differences, with n - 1; None for one unit.
        effect: Cohen's d_z, difference / std; None where there is no std, or none but zero.
        rank_biserial: (W+ - W-) / (W+ + W-) of the signed ranks (D. S. Kerby, The Simple Difference Formula, 2014); 0 without differences.
        n, units, pairs: how many runs, units and pairs.
        wins, ties, losses: among runs.
    """

    difference: float
    p: float
    p_wilcoxon: float
    p_least: float
    std: float | None
    effect: float | None
    rank_biserial: float
    n: int
    units: int
    pairs: int
    wins: int
    ties: int
    losses: int


def paired(differences: Sequence[float], pairs: Sequence[str], units: Sequence[Hashable], *, epsilon: float = EPSILON) -> Paired:
    """Compare two rows over the runs that both have.

    Each pair weighs the same in the mean, however many of its runs are there.  A unit's difference is what its runs contribute
    to that mean, times the number of units: the plain mean of its runs where no run is missing.

    Args:
        differences: `[n]`, row minus reference of each run, n at least 1.
        pairs: `[n]`, the pair of each run.
        units: `[n]`, the unit of each run.
        epsilon: differences no larger are ties, and count as zero.

    Raises:
        ValueError: no differences, different lengths, or a difference that is not finite.

    >>> found = paired([0.02, 0.01, 0.03, 0.02, 0.01, 0.04], ["a"] * 6, range(6))
    >>> round(found.difference, 4), found.p, found.p == found.p_least, (found.wins, found.ties, found.losses)
    (0.0217, 0.03125, True, (6, 0, 0))
    """
    values = np.asarray(differences, dtype=np.float64)
    if not len(values) or not len(values) == len(pairs) == len(units) or not np.isfinite(values).all():
        raise ValueError("one finite difference for each run, with its pair and unit, and at least one")
    values = np.where(np.abs(values) <= epsilon, 0.0, values)
    size = Counter(pairs)
    weights = np.array([1 / (len(size) * size[pair]) for pair in pairs])
    names = {name: place for place, name in enumerate(dict.fromkeys(units))}
    by_unit: Array = np.zeros(len(names))
    np.add.at(by_unit, [names[name] for name in units], values * weights * len(names))
    difference = float(values @ weights)
    std = float(by_unit.std(ddof=1)) if len(names) > 1 else None
    return Paired(
        difference=difference,
        p=sign_flip(by_unit),
        p_wilcoxon=wilcoxon(by_unit),
        p_least=least(len(names)),
        std=std,
        effect=difference / std if std is not None and std > epsilon else None,
        rank_biserial=rank_biserial(by_unit),
        n=len(values),
        units=len(names),
        pairs=len(size),
        wins=int((values > 0).sum()),
        ties=int((values == 0).sum()),
        losses=int((values < 0).sum()),
    )


def sign_flip(values: Array, *, flips: int = FLIPS, seed: int = 0) -> float:
    """The two-sided p of the mean under random signs: the share of sign patterns whose |sum| is at least the observed.

    Null hypothesis: each value is as likely as its negative, independently (R. A. Fisher, The Design of Experiments, 1935,
    section 21).  All 2^n patterns for up to 20 values that are not zero, else `flips` random ones and the observed one.

    Args:
        values: `[n]`.

    >>> sign_flip(np.array([1.0, 2.0, 3.0]))
    0.25
    >>> sign_flip(np.zeros(5))
    1.0
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
    signs = _signs(flips, len(sizes), seed)
    parts = (signs[start : start + _BLOCK].astype(np.float64) @ sizes for start in range(0, flips, _BLOCK))
    return float((1 + sum(int((np.abs(sums) >= observed).sum()) for sums in parts)) / (1 + flips))


@functools.lru_cache(32)  # rows of one comparison have about the same number of units, and the draw costs more than the test
def _signs(flips: int, units: int, seed: int) -> NDArray[np.int8]:
    drawn = np.random.default_rng(seed).integers(0, 2, size=(flips, units)) * 2 - 1
    return drawn.astype(np.int8)


def least(units: int) -> float:
    """The smallest p that `sign_flip` gives for so many values, none of them zero.

    >>> least(1), least(6)
    (1.0, 0.03125)
    """
    return 2.0 ** (1 - units) if units <= MOST_EXACT else 1 / (1 + FLIPS)


def wilcoxon(values: Array) -> float:
    """The two-sided p of Wilcoxon's signed-rank test, zeros left out (F. Wilcoxon, Biometrics Bulletin 1, 1945); 1 if all are zero.

    Up to 20 values it is exact, with ties too: the sign-flip test of the signed ranks.  Above, see `signed_rank_p`.

    >>> wilcoxon(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    0.03125
    """
    kept = _tied(values)
    if len(kept) <= MOST_EXACT:
        return sign_flip(np.sign(kept) * average_ranks(np.abs(kept)))
    return signed_rank_p(kept)


def rank_biserial(values: Array) -> float:
    """The matched-pairs rank-biserial correlation: how much of the signed ranks' sum is positive, minus how much is negative.

    >>> round(rank_biserial(np.array([1.0, 2.0, -3.0])), 12)
    0.0
    """
    kept = _tied(values)
    ranks = average_ranks(np.abs(kept))
    return float((np.sign(kept) * ranks).sum() / ranks.sum()) if len(kept) else 0.0


def _tied(values: Array) -> Array:
    """Without zeros, and with sizes that differ by rounding alone made equal."""
    kept: Array = values[values != 0]
    if not len(kept):
        return kept
    step = float(np.abs(kept).max()) * 1e-10
    rounded: Array = np.round(kept / step) * step
    nonzero: Array = rounded[rounded != 0]
    return nonzero
