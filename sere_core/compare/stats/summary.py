"""Results -> Summary: every number that tables, figures and the report show; `None` (never NaN) for none."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median, stdev
from typing import Literal

import numpy as np

from sere_core.compare.plan import Row
from sere_core.compare.reading import Results, RunFacts
from sere_core.compare.stats.bootstrap import Replicates, sides
from sere_core.compare.stats.significance import Paired, Ranking, holm, paired, rank_rows, smallest_detectable
from sere_core.score.interval import ALPHA, REPLICATES, Interval
from sere_core.score.metrics import from_confusion, uar

Shown = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True)
class Spread:
    """The mean of n values and their standard deviation with n - 1, None for n = 1."""

    mean: float
    std: float | None
    n: int


def spread(values: Sequence[float]) -> Spread:
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError("a spread needs at least one value, and finite ones")
    numbers = [float(value) for value in values]
    return Spread(fmean(numbers), stdev(numbers) if len(numbers) > 1 else None, len(numbers))


@dataclass(frozen=True)
class PairSummary:
    """One row in one pair, over the seeds that have a record; measures are further scores, means over folds and seeds."""

    uar: Spread
    by_seed: Mapping[int, float]
    interval: Interval | None
    recall: Mapping[str, float]
    genders: Mapping[str, float]
    missing: tuple[int, ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RowSummary:
    """One row: mean and interval of means over seeds, costs as medians over runs, the average rank over pairs."""

    row: str
    role: str
    pairs: Mapping[str, PairSummary]
    mean: Spread | None
    interval: Interval | None
    recall: Mapping[str, float]
    genders: Mapping[str, float]
    rank: float | None
    seconds: float | None
    phases: Mapping[str, float]
    peak_mib: float | None
    parameters: float | None
    missing: tuple[tuple[str, int], ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return not self.missing


@dataclass(frozen=True, kw_only=True)
class Verdict(Paired):
    """A row against the reference, over the (pair, seed) that have a record of both; the tests' units are draws.

    Args:
        p_pairs: the permutation test over pair means; uncorrected.
        smallest_detectable: the smallest mean difference that so many units show with 80 % power.
        missing: (pair, seed) of the plan left out, for lack of a record of either.
    """

    row: str
    reference: str
    interval: Interval | None = None
    p_holm: float = 1.0
    p_pairs: float = 1.0
    shown: Shown = "no difference shown"
    smallest_detectable: float | None = None
    missing: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Summary:
    """Rows and verdicts on all but the reference, in the order of the plan."""

    reference: str
    rows: tuple[RowSummary, ...]
    verdicts: tuple[Verdict, ...]
    ranking: Ranking | None
    chance: Mapping[str, float]
    notes: tuple[str, ...] = ()

    def row(self, name: str) -> RowSummary:
        return next(row for row in self.rows if row.row == name)

    def verdict(self, name: str) -> Verdict | None:
        return next((verdict for verdict in self.verdicts if verdict.row == name), None)


def summarise(results: Results) -> Summary:
    """Everything there is to say, from the runs that are there."""
    replicates = Replicates(results)
    ranking = _ranking(results)
    ranks = dict(zip(ranking.rows, ranking.average, strict=True)) if ranking else {}
    classes = {pair: len(run.classes) for (_, pair, _), run in results.runs.items()}
    found = Summary(
        reference=results.plan.reference,
        rows=tuple(_row(results, row, replicates, ranks.get(row.name)) for row in results.plan.rows),
        verdicts=verdicts(results, replicates),
        ranking=ranking,
        chance={pair: 1 / classes[pair] for pair in results.plan.pairs if pair in classes},
    )
    return replace(found, notes=notes(found))


def shared(results: Results, *rows: str) -> dict[str, tuple[int, ...]]:
    """pair -> the seeds that have a record of every one of `rows`."""
    plan, runs = results.plan, results.runs
    found = {pair: tuple(seed for seed in plan.seeds if all((row, pair, seed) in runs for row in rows)) for pair in plan.pairs}
    return {pair: seeds for pair, seeds in found.items() if seeds}


def lacking(results: Results, *rows: str) -> tuple[tuple[str, int], ...]:
    """The (pair, seed) of the plan without a record of one of `rows`."""
    places = itertools.product(results.plan.pairs, results.plan.seeds)
    return tuple(place for place in places if any((row, *place) not in results.runs for row in rows))


def _row(results: Results, row: Row, replicates: Replicates, rank: float | None) -> RowSummary:
    pairs = {}
    for pair, seeds in shared(results, row.name).items():
        runs = [results.runs[row.name, pair, seed] for seed in seeds]
        pairs[pair] = PairSummary(
            uar=spread([run.uar for run in runs]),
            by_seed={seed: run.uar for seed, run in zip(seeds, runs, strict=True)},
            interval=replicates.interval(row.name, {pair: seeds}),
            recall=_by_name(fmean, map(_recall, runs)),
            genders=_by_name(fmean, map(gender_uar, runs)),
            measures=_by_name(fmean, (run.measures for run in runs)),
            missing=tuple(seed for seed in results.plan.seeds if seed not in seeds),
        )
    every = results.of_row(row.name)
    return RowSummary(
        row=row.name,
        role=row.role,
        pairs=pairs,
        mean=spread([pair.uar.mean for pair in pairs.values()]) if pairs else None,
        interval=replicates.interval(row.name, shared(results, row.name)),
        recall=_by_name(fmean, (pair.recall for pair in pairs.values())),
        genders=_by_name(fmean, (pair.genders for pair in pairs.values())),
        measures=_by_name(fmean, (pair.measures for pair in pairs.values())),
        rank=rank,
        seconds=_median(sum(run.seconds.values()) for run in every if run.seconds),
        phases=_by_name(median, (run.seconds for run in every)),
        peak_mib=_median(run.peak_mib for run in every),
        parameters=_median(run.parameters for run in every),
        missing=lacking(results, row.name),
    )


def _recall(run: RunFacts) -> dict[str, float]:
    recall = from_confusion(run.confusion.sum(axis=0), run.classes).recall
    return {name: value for name, value in zip(run.classes, recall, strict=True) if value is not None}


def gender_uar(run: RunFacts) -> dict[str, float]:
    """UAR by the speakers' gender, over the summed folds."""
    genders = np.array(run.genders)
    known = [gender for gender in ("female", "male") if gender in run.genders]
    return {gender: float(uar(run.by_speaker[genders == gender].sum(axis=0))) for gender in known}


def _by_name(of: Callable[[list[float]], float], each: Iterable[Mapping[str, float]]) -> dict[str, float]:
    found: dict[str, list[float]] = defaultdict(list)
    for values in each:
        for name, value in values.items():
            found[name].append(value)
    return {name: of(values) for name, values in found.items()}


def _median(values: Iterable[float | None]) -> float | None:
    found = [float(value) for value in values if value is not None]
    return median(found) if found else None


def _ranking(results: Results) -> Ranking | None:
    """Rows are compared within a pair over the seeds that all of them have."""
    ranked = [row.name for row in results.plan.rows if row.role != "ceiling"]
    rows = [row for row in ranked if shared(results, row)]
    blocks = shared(results, *rows)
    left_out = [f"row {row}: no run" for row in ranked if row not in rows]
    left_out += [f"pair {pair}: no seed that all ranked rows have" for pair in results.plan.pairs if pair not in blocks]
    if len(rows) < 2 or not blocks:
        return None
    scores = [[fmean(results.runs[row, pair, seed].uar for seed in seeds) for pair, seeds in blocks.items()] for row in rows]
    return rank_rows(np.array(scores), rows, list(blocks), left_out)


def verdicts(results: Results, replicates: Replicates | None = None) -> tuple[Verdict, ...]:
    """Each row of the plan against its reference, in the order of the plan, over the runs that both have.

    "better" and "worse" need p < ALPHA after Holm's correction over all rows, and a bootstrap interval without 0.
    """
    resampled = replicates or Replicates(results)
    rows = [row.name for row in results.plan.rows if row.name != results.plan.reference]
    found = [_verdict(results, row, resampled, ALPHA / len(rows)) for row in rows]
    corrected = holm([each.p for each in found])
    return tuple(replace(each, p_holm=p, shown=_shown(each.difference, p, each.interval)) for each, p in zip(found, corrected, strict=True))


def _verdict(results: Results, row: str, replicates: Replicates, alpha: float) -> Verdict:
    reference = results.plan.reference
    common, missing = shared(results, row, reference), lacking(results, row, reference)
    places = [(pair, seed) for pair, seeds in common.items() for seed in seeds]
    if not places:
        return Verdict(row=row, reference=reference, missing=missing)
    differences = [results.runs[row, *place].uar - results.runs[reference, *place].uar for place in places]
    pairs = [pair for pair, _ in places]
    found = paired(differences, pairs, [(sides(pair)[0] or pair, seed) for pair, seed in places])
    return Verdict(
        **vars(found),
        row=row,
        reference=reference,
        interval=replicates.difference(row, reference, common),
        p_pairs=paired(differences, pairs, pairs).p,
        smallest_detectable=smallest_detectable(found.std, found.units, alpha),
        missing=missing,
    )


def _shown(difference: float | None, p: float, interval: Interval | None) -> Shown:
    if difference is None or interval is None or p >= ALPHA:
        return "no difference shown"
    if difference > 0 and interval.low > 0:
        return "better"
    return "worse" if difference < 0 and interval.high < 0 else "no difference shown"


def notes(summary: Summary) -> tuple[str, ...]:
    """Sentences for below the table: what its numbers mean and do not cover."""
    lines = [
        "UAR is the mean over folds; ± is the standard deviation over seeds (n - 1), of single runs and not of their mean; "
        "a row's mean weighs every pair the same.",
    ]
    intervals = [row.interval for row in summary.rows if row.interval]
    if intervals:
        lines.append(
            f"Intervals ({100 * (1 - ALPHA):g} %, expanded percentile bootstrap, {REPLICATES} replicates) resample "
            f"{_resampled(intervals)}: they cover the choice of who is tested, not the choice of the training shots, which shows "
            "in the spread over seeds."
        )
    if summary.verdicts:
        family, units = len(summary.verdicts), max(verdict.units for verdict in summary.verdicts)
        lines.append(
            f"Tests against {summary.reference}: sign-flip permutation, two-sided, taking all runs of one source corpus and seed, "
            f"which are trained on the same shots, as one unit (at most {units}), corrected by Holm for {family} "
            f"row{'s' * (family > 1)}. A difference is shown if the corrected p is below {ALPHA:g} and the interval excludes 0; "
            "where none is shown, none is ruled out."
        )
        hopeless = [verdict.row for verdict in summary.verdicts if verdict.p_least * family >= ALPHA]
        if hopeless:
            lines.append(
                f"Too few runs to show any difference, however large, by themselves: {', '.join(hopeless)}. More seeds would change that."
            )
        if max(verdict.pairs for verdict in summary.verdicts) > 1:
            lines.append(
                "These tests speak about the pairs in the table; only the one over pair means (p_pairs, uncorrected) takes them "
                "as a sample of pairs."
            )
    incomplete = [row.row for row in summary.rows if not row.complete]
    if incomplete:
        lines.append(f"Runs are missing, so these means are not comparable with the others': {', '.join(incomplete)}.")
    return tuple(lines)


def _resampled(intervals: Iterable[Interval]) -> str:
    hows = {interval.how for interval in intervals}
    if hows == {"speakers"}:
        return "test speakers"
    unpaired = "utterances, because speakers are unknown (for differences the two rows are resampled independently, which is cautious)"
    return unpaired if hows == {"utterances"} else f"test speakers where they are known and else {unpaired}"
