"""The error of a row's mean over pairs, and of its difference from another row's: draws, test speakers and pairs in one.

A run of pair p = source > target with seed k scores  m + pair + draw + speakers + rest.  Draws (shots, folds, initial weights) are
shared by the pairs of one source and seed, those of a ceiling, which learns from the target, by the pairs of one target and seed;
speakers by the pairs of one target and by all seeds.  Over fixed pairs the variance of the mean is that of two crossed factors,

    V_fixed = V_speakers + V_draws - V_both

(A. B. Owen & D. Eckles, Annals of Applied Statistics 6, 2012; A. C. Cameron, J. B. Gelbach & D. L. Miller, JBES 29, 2011).  Over pairs
as a sample it is

    V_pairs = S^2 / P + P / (P - 1) V_shared,

S^2 the variance of the P pair means and V_shared what their covariances through speakers and draws add to V_fixed: unbiased
whatever pairs differ in, if corpora have no effect of their own.  The larger of (1 - 1 / P) V_fixed and `SHRINK` V_pairs is taken,
since differences between pairs cannot make the mean surer.  Degrees of freedom are Satterthwaite's: P - `LOST` for S^2 / P, and those
of V_fixed for the rest.  Fewer than `SAMPLE` pairs are no sample: their error is V_fixed, and speaks about these pairs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ncfdtrinc, stdtr, stdtrit

from sere_core.compare.reading import Results, RunFacts
from sere_core.score.interval import ALPHA, NOTHING, Array, How, Interval, by_speaker, by_utterance, t_interval, variance

#: the larger of two estimates is too large on average, the more the fewer the pairs; by `benchmarks/verdicts.py`
SHRINK, LOST = 0.95, 1.5
#: the fewest pairs that are a sample of pairs
SAMPLE = 3
#: a share of a gap that is more is none
_FURTHEST = 100.0
#: pair -> seeds
Places = Mapping[str, Sequence[int]]


def sides(pair: str) -> tuple[str, str]:
    """The source and target corpus that a pair's name tells, "" where it does not."""
    source, arrow, target = (part.strip() for part in pair.partition(">"))
    return (source, target) if arrow else ("", "")


@dataclass(frozen=True)
class Estimate:
    """A mean with its variance and degrees of freedom; whose choice it covers, and how many these are."""

    mean: float
    variance: float
    freedom: float
    how: How
    n: int

    @property
    def interval(self) -> Interval:
        return t_interval(self.mean, self.variance, self.freedom, self.how, self.n)

    def beyond(self, distance: float) -> float:
        """P(T > distance / error)."""
        return float(stdtr(self.freedom, -distance / math.sqrt(self.variance)))

    @property
    def p(self) -> float:
        """Two-sided, of a true mean of 0; below ALPHA just where 0 is outside of the interval."""
        return 2 * self.beyond(abs(self.mean))

    def p_equivalent(self, margin: float) -> float:
        """Of two one-sided tests, that the true mean lies beyond +-margin (D. J. Schuirmann, 1987)."""
        return self.beyond(margin - abs(self.mean))

    def detectable(self, alpha: float) -> float:
        """The smallest true mean that is found with a power of 80 %, if the error is what it is taken for.

        Solves  P(|T'| > t_{1 - alpha/2}) = 0.8,  T' noncentral t, for its noncentrality (J. Cohen, Statistical Power Analysis,
        1988, chapter 2); the square of a noncentral t is a noncentral F.
        """
        edge = float(stdtrit(self.freedom, 1 - alpha / 2))
        return math.sqrt(self.variance * float(ncfdtrinc(1, self.freedom, 0.2, edge**2)))


class Errors:
    """Errors of rows and differences of one comparison, from the influence of every test speaker on every run.

    Where a target's speakers are unknown, its utterances take their place; those of two rows are then not paired, and are taken as
    right or wrong alike in all seeds and pairs: both is cautious.
    """

    def __init__(self, results: Results) -> None:
        self._results = results
        self._target = {pair: sides(pair)[1] or pair for pair in results.plan.pairs}
        by_target: dict[str, list[tuple[str, str, int]]] = {}
        for place in results.runs:
            by_target.setdefault(self._target[place[1]], []).append(place)
        self._known = {target: all(_all_known(results.runs[place]) for place in places) for target, places in by_target.items()}
        self._influence: dict[tuple[str, str, int], Array] = {}
        self._size: dict[str, int] = {}
        self._ceilings = {row.name for row in results.plan.rows if row.role == "ceiling"}
        for target, places in by_target.items():
            found = {place: _influences(results.runs[place], self._known[target]) for place in places}
            column = {name: index for index, name in enumerate(sorted({name for names, _ in found.values() for name in names}))}
            self._size[target] = len(column)
            for place, (names, values) in found.items():
                self._influence[place] = np.zeros(len(column))
                np.add.at(self._influence[place], [column[name] for name in names], values)

    def row(self, row: str, places: Places) -> Estimate | None:
        """Of the mean over these pairs of the mean over seeds; with one seed, of speakers alone."""
        return self._estimate({row: 1.0}, places)

    def difference(self, row: str, reference: str, places: Places) -> Estimate | None:
        """Over pairs as a sample, where there are `SAMPLE`; None with one seed."""
        return self._estimate({row: 1.0, reference: -1.0}, places)

    def closed(self, row: str, start: str, goal: str, places: Places) -> Interval | None:
        """Of the share of the gap between the means of `start` and `goal` that `row` closes, (row - start) / (goal - start).

        All shares x that a test of  row - (1 - x) start - x goal = 0  with the error of a difference does not reject (E. C. Fieller,
        Journal of the Royal Statistical Society B 16, 1954): 0 lies outside just where row and start differ, 1 just where row and goal
        do.  None where these are no interval, since start and goal are not shown to differ, and where no error is known.
        """
        gap = self.difference(goal, start, places)
        if gap is None or gap.p >= ALPHA:
            return None

        def of(share: float) -> Estimate | None:
            return self._estimate({row: 1.0, start: share - 1, goal: -share}, places)

        def holds(share: float) -> bool:
            return (found := of(share)) is None or found.p >= ALPHA

        found = of(0.0)
        low, high = (None if found is None else _edge(holds, found.mean / gap.mean, side) for side in (-1, 1))
        return None if low is None or high is None else Interval(low, high, gap.how, gap.n)

    def _estimate(self, weights: Mapping[str, float], places: Places) -> Estimate | None:
        """Of a weighted sum of rows; None for a single speaker, and where nothing varies."""
        pairs, count = list(places), len(places)
        targets = [self._target[pair] for pair in pairs]
        uars = [self._uars(weights, pair, places[pair]) for pair in pairs]
        influences = [self._of_pair(weights, pair, places[pair]) for pair in pairs]
        centres, means = [each.mean(axis=0) for each in influences], np.array([each.mean() for each in uars])
        of_target = {target: np.sum([c for c, t in zip(centres, targets, strict=True) if t == target], axis=0) for target in targets}
        by_target = [(variance(centre) / count**2, len(centre) - 1) for centre in of_target.values()]
        speakers = sum(error for error, _ in by_target)
        shared = speakers - sum(map(variance, centres)) / count**2
        repeats = sum(len(each) - 1 for each in uars)
        alone = draws = both = 0.0
        if repeats:
            share = sum(1 / len(each) for each in uars) / count**2 / repeats
            alone = share * sum(float(((each - each.mean()) ** 2).sum()) for each in uars)
            both = share * sum(variance(each - centre) for many, centre in zip(influences, centres, strict=True) for each in many)
            of_draws = self._shared_draws(weights, places)
            draws, shared = alone + of_draws, shared + of_draws
        elif len(weights) > 1:
            return None
        fixed = max(speakers + draws - both, max(speakers, draws) / 2)
        if not fixed > NOTHING:
            return None
        parts = [*by_target, *([(alone, repeats)] if repeats else [])]
        least = min(freedom for _, freedom in parts)  # a difference of variances may fall below it, a sum never does
        found, freedom = fixed, max(fixed**2 / sum(error**2 / freedom for error, freedom in parts), least)
        if len(weights) > 1 and count >= SAMPLE:
            between = float(means.var(ddof=1)) / count
            found = max((1 - 1 / count) * fixed, SHRINK * (between + max(shared * count / (count - 1), -between / 2)))
            between = min(between, found)
            freedom = found**2 / (between**2 / (count - LOST) + (found - between) ** 2 / freedom)
        known = {self._known[target] for target in targets}
        how: How = "speakers and utterances" if len(known) > 1 else "speakers" if True in known else "utterances"
        return Estimate(float(means.mean()), found, freedom, how, sum(self._size[target] for target in of_target))

    def _shared_draws(self, weights: Mapping[str, float], places: Places) -> float:
        """What pairs with the same draws add to the variance of the mean: of ceilings those of a target, of others those of a source."""
        found = 0.0
        for side in (0, 1):  # of a pair: its source, its target
            part = {row: weight for row, weight in weights.items() if (row in self._ceilings) == bool(side)}
            uars = [self._uars(part, pair, seeds) for pair, seeds in places.items()] if part else []
            products, freedom, weight = 0.0, 0, 0.0
            for (one, mine), (other, theirs) in itertools.combinations(zip(places, uars, strict=False), 2):
                common = [seed for seed in places[one] if seed in places[other]]
                if not common or sides(one)[side] != sides(other)[side] or not sides(one)[side]:
                    continue
                both = ((mine, places[one]), (theirs, places[other]))
                first, second = (each[[seeds.index(seed) for seed in common]] for each, seeds in both)
                products += float((first - first.mean()) @ (second - second.mean()))
                freedom += len(common) - 1
                weight += 2 * len(common) / (len(mine) * len(theirs))
            found += products / freedom * weight / len(places) ** 2 if freedom else 0.0
        return found

    def _uars(self, weights: Mapping[str, float], pair: str, seeds: Sequence[int]) -> Array:
        runs = self._results.runs
        return np.array([sum(weight * runs[row, pair, seed].uar for row, weight in weights.items()) for seed in seeds])

    def _of_pair(self, weights: Mapping[str, float], pair: str, seeds: Sequence[int]) -> Array:
        """Influences `[seeds, speakers]`; utterances of several rows stand beside each other."""
        rows = [weight * np.stack([self._influence[row, pair, seed] for seed in seeds]) for row, weight in weights.items()]
        return sum(rows[1:], rows[0]) if self._known[self._target[pair]] else np.hstack(rows)


def _edge(holds: Callable[[float], bool], inside: float, side: int) -> float | None:
    """Where a share that holds ends, to a hundredth of a per cent; None where it holds as far as is looked."""
    step = 0.25
    while holds(inside + side * step):
        inside, step = inside + side * step, 2 * step
        if step > _FURTHEST:
            return None
    while step > 1e-4:
        step /= 2
        inside += side * step if holds(inside + side * step) else 0.0
    return inside


def _all_known(run: RunFacts) -> bool:
    return bool(run.speakers) and run.by_speaker.sum() == run.confusion.sum()


def _influences(run: RunFacts, known: bool) -> tuple[Sequence[str], Array]:
    """Who has an influence on a run's UAR, and which."""
    if known:
        return run.speakers, by_speaker(run.by_speaker, run.speaker_folds)
    found = by_utterance(run.confusion.sum(axis=0))
    names = [f"{name} {index}" for name, each in zip(run.classes, found, strict=True) for index in range(len(each))]
    return names, np.concatenate(found)
