"""Results -> Summary: every number that tables, figures and the report show; `None` (never NaN) for none."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median, stdev
from typing import Literal

import numpy as np

from sere_core.compare.plan import Row
from sere_core.compare.reading import Results, RunFacts
from sere_core.compare.stats.error import SAMPLE, Errors, Estimate, Places
from sere_core.compare.stats.significance import EPSILON, average_ranks, holm, sign_flip
from sere_core.score.interval import ALPHA, Interval
from sere_core.score.metrics import from_confusion, uar
from sere_registry.errors import counted

Shown = Literal["better", "worse", "equivalent", "no difference shown"]
#: pairs of corpora that are few: those of four corpora and fewer
FEW = 12


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
class GapClosed:
    """What a row's mean has more than the mean of `start`, as a share of what that of `goal` has more, over the runs of all three.

    Args:
        width: what `goal` has more than `start`.
        share: None where that is no more than the margin, or is not shown to be more than nothing.
        interval: by the error of a difference; see `sere_core.compare.stats.error.Errors.closed`.
    """

    start: str
    goal: str
    width: float
    share: float | None
    interval: Interval | None


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
    gap: GapClosed | None = None

    @property
    def complete(self) -> bool:
        return not self.missing


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A row against the reference, over the (pair, seed) that have a record of both; the defaults are of rows that share no run.

    Args:
        difference: mean over pairs of the mean over seeds, row minus reference.
        interval: of the difference; 0 lies outside just where `p` is below `ALPHA`.  Each by itself, not for all rows at once.
        p, p_holm: that there is no difference; two-sided.
        p_equivalent: that the difference is beyond the plan's margin, corrected by Holm.
        p_pairs: the sign-flip test over pair means, uncorrected: pairs as units, nothing else.
        detectable: the smallest true difference that is shown with 80 % power, at `ALPHA` over the number of rows.
        wins, ties, losses: among runs.
        missing: (pair, seed) of the plan left out, for lack of a record of either.
    """

    row: str
    reference: str
    difference: float | None = None
    interval: Interval | None = None
    p: float = 1.0
    p_holm: float = 1.0
    p_equivalent: float = 1.0
    p_pairs: float = 1.0
    detectable: float | None = None
    shown: Shown = "no difference shown"
    wins: int = 0
    ties: int = 0
    losses: int = 0
    pairs: int = 0
    missing: tuple[tuple[str, int], ...] = ()

    @property
    def n(self) -> int:
        return self.wins + self.ties + self.losses


@dataclass(frozen=True)
class Summary:
    """Rows and verdicts on all but the reference, in the order of the plan; `margin` is that of equivalence."""

    reference: str
    rows: tuple[RowSummary, ...]
    verdicts: tuple[Verdict, ...]
    margin: float
    chance: Mapping[str, float]
    notes: tuple[str, ...] = ()

    def row(self, name: str) -> RowSummary:
        return next(row for row in self.rows if row.row == name)

    def verdict(self, name: str) -> Verdict | None:
        return next((verdict for verdict in self.verdicts if verdict.row == name), None)


def summarise(results: Results) -> Summary:
    """Everything there is to say, from the runs that are there."""
    errors, ranks = Errors(results), _ranks(results)
    classes = {pair: len(run.classes) for (_, pair, _), run in results.runs.items()}
    found = Summary(
        reference=results.plan.reference,
        rows=tuple(_row(results, row, errors, ranks.get(row.name)) for row in results.plan.rows),
        verdicts=verdicts(results, errors),
        margin=results.plan.margin,
        chance={pair: 1 / classes[pair] for pair in results.plan.pairs if pair in classes},
    )
    return replace(found, notes=notes(found))


def shared(results: Results, *rows: str) -> dict[str, tuple[int, ...]]:
    """pair -> the seeds that have a record of every one of `rows`, with a score."""
    plan, runs = results.plan, {place for place, run in results.runs.items() if math.isfinite(run.uar)}
    found = {pair: tuple(seed for seed in plan.seeds if all((row, pair, seed) in runs for row in rows)) for pair in plan.pairs}
    return {pair: seeds for pair, seeds in found.items() if seeds}


def lacking(results: Results, *rows: str) -> tuple[tuple[str, int], ...]:
    """The (pair, seed) of the plan that `shared` lacks."""
    there = shared(results, *rows)
    return tuple(place for place in itertools.product(results.plan.pairs, results.plan.seeds) if place[1] not in there.get(place[0], ()))


def _row(results: Results, row: Row, errors: Errors, rank: float | None) -> RowSummary:
    pairs = {}
    for pair, seeds in shared(results, row.name).items():
        runs = [results.runs[row.name, pair, seed] for seed in seeds]
        pairs[pair] = PairSummary(
            uar=spread([run.uar for run in runs]),
            by_seed={seed: run.uar for seed, run in zip(seeds, runs, strict=True)},
            interval=_interval(errors, row.name, {pair: seeds}),
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
        interval=_interval(errors, row.name, shared(results, row.name)),
        recall=_by_name(fmean, (pair.recall for pair in pairs.values())),
        genders=_by_name(fmean, (pair.genders for pair in pairs.values())),
        measures=_by_name(fmean, (pair.measures for pair in pairs.values())),
        rank=rank,
        seconds=_median(sum(run.seconds.values()) for run in every if run.seconds),
        phases=_by_name(median, (run.seconds for run in every)),
        peak_mib=_median(run.peak_mib for run in every),
        parameters=_median(run.parameters for run in every),
        missing=lacking(results, row.name),
        gap=_gap(results, row.name, errors),
    )


def _gap(results: Results, row: str, errors: Errors) -> GapClosed | None:
    """None where the row lies between no two rows, or shares no run with them."""
    ends = results.plan.gap.get(row)
    common = shared(results, row, *ends) if ends is not None else {}
    if ends is None or not common:
        return None
    start, goal = ends

    def mean(name: str) -> float:
        return fmean(fmean(results.runs[name, pair, seed].uar for seed in seeds) for pair, seeds in common.items())

    width = mean(goal) - mean(start)
    error = errors.difference(goal, start, common)
    if width <= results.plan.margin / 100 or (error is not None and error.p >= ALPHA):
        return GapClosed(start, goal, width, None, None)
    share = (mean(row) - mean(start)) / width
    return GapClosed(start, goal, width, share, None if row in ends else errors.closed(row, start, goal, common))


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


def _interval(errors: Errors, row: str, places: Places) -> Interval | None:
    """Of a mean UAR, which lies in [0, 1]."""
    found = errors.row(row, places) if places else None
    if found is None:
        return None
    ends = found.interval
    return replace(ends, low=max(ends.low, 0.0), high=min(ends.high, 1.0))


def _ranks(results: Results) -> dict[str, float]:
    """Average ranks over the pairs; rows are compared within a pair over the seeds that all of them have."""
    rows = [row.name for row in results.plan.rows if row.role not in ("topline", "ceiling") and shared(results, row.name)]
    blocks = shared(results, *rows)
    if len(rows) < 2 or not blocks:
        return {}
    scores = [[fmean(results.runs[row, pair, seed].uar for seed in seeds) for pair, seeds in blocks.items()] for row in rows]
    return dict(zip(rows, average_ranks(np.array(scores)).tolist(), strict=True))


def verdicts(results: Results, errors: Errors | None = None) -> tuple[Verdict, ...]:
    """Each row of the plan against its reference, in the order of the plan, over the runs that both have.

    "better" and "worse" need p < ALPHA after Holm's correction over all rows; "equivalent" needs the same of the test of
    equivalence, and no difference shown.
    """
    errors, reference = errors or Errors(results), results.plan.reference
    rows = [row.name for row in results.plan.rows if row.name != reference]
    common = {row: shared(results, row, reference) for row in rows}
    found = {row: errors.difference(row, reference, places) if places else None for row, places in common.items()}
    margin = results.plan.margin / 100
    differ = holm([each.p if each else 1.0 for each in found.values()])
    alike = holm([each.p_equivalent(margin) if each else 1.0 for each in found.values()])
    return tuple(
        _verdict(results, row, common[row], found[row], p, same, ALPHA / len(rows))
        for row, p, same in zip(rows, differ, alike, strict=True)
    )


def _verdict(
    results: Results, row: str, common: Places, found: Estimate | None, p_holm: float, p_equivalent: float, alpha: float
) -> Verdict:
    runs, reference = results.runs, results.plan.reference
    verdict = Verdict(row=row, reference=reference, missing=lacking(results, row, reference))
    if not common:
        return verdict
    by_pair = [[runs[row, pair, seed].uar - runs[reference, pair, seed].uar for seed in seeds] for pair, seeds in common.items()]
    means, every = np.array([fmean(each) for each in by_pair]), np.concatenate(by_pair)
    wins, losses = int((every > EPSILON).sum()), int((every < -EPSILON).sum())
    difference = float(means.mean())
    verdict = replace(
        verdict,
        difference=0.0 if abs(difference) <= EPSILON else difference,
        p_pairs=sign_flip(means),
        wins=wins,
        ties=len(every) - wins - losses,
        losses=losses,
        pairs=len(means),
    )
    if found is None:
        return verdict
    shown: Shown = "equivalent" if p_equivalent < ALPHA else "no difference shown"
    if p_holm < ALPHA:
        shown = "better" if found.mean > 0 else "worse"
    return replace(
        verdict,
        interval=found.interval,
        p=found.p,
        p_holm=p_holm,
        p_equivalent=p_equivalent,
        detectable=found.detectable(alpha),
        shown=shown,
    )


def notes(summary: Summary) -> tuple[str, ...]:
    """Sentences for below the table: what its numbers mean and do not cover."""
    lines = [
        "UAR is the mean over folds; ± is the standard deviation over seeds (n - 1), of single runs and not of their mean; "
        "a row's mean weighs every pair the same.",
    ]
    hows = {row.interval.how for row in summary.rows if row.interval}
    if hows:
        lines.append(
            f"Intervals of a row ({100 * (1 - ALPHA):g} %, t) cover the choice of {_covered(hows)} and, from two seeds on, the draw of "
            "shots, folds and initial weights; they speak about these pairs."
        )
    if summary.verdicts:
        lines += _on_verdicts(summary)
    lines += _on_gaps(summary)
    incomplete = [row.row for row in summary.rows if not row.complete]
    if incomplete:
        lines.append(f"Runs are missing, so these means are not comparable with the others': {', '.join(incomplete)}.")
    return tuple(lines)


def _on_gaps(summary: Summary) -> Iterator[str]:
    """What the closed share of a gap is."""
    found = {(row.gap.start, row.gap.goal): row.gap for row in summary.rows if row.gap is not None}
    if not found:
        return
    ends = "; ".join(f"from {start} to {goal}: {100 * gap.width:.1f} points" for (start, goal), gap in found.items())
    yield (
        f"Gap closed: what a row's mean has more than that of its start, in per cent of what its goal has more ({ends}). Its "
        "interval is all shares that a test with the error of a difference does not reject (Fieller): it leaves out 0 just where "
        "row and start differ, without correction. Undefined: the gap is no larger than "
        f"{summary.margin:g} points, or not shown to be one."
    )


def _on_verdicts(summary: Summary) -> Iterator[str]:
    """What verdicts rest on, and what they generalise over."""
    family, pairs = len(summary.verdicts), max(verdict.pairs for verdict in summary.verdicts)
    corrected = f"corrected by Holm for {family} row{'s' * (family > 1)}"
    over = "and of pairs like these" if pairs >= SAMPLE else f"in {counted(pairs, 'pair')} alone: nothing is said about others"
    yield (
        f"Differences from {summary.reference}: interval and p come from one error, of draws and test speakers {over}. Each interval is "
        f"a 95 % interval by itself; better and worse need p below {ALPHA:g} {corrected}, equivalent needs it of the test that the "
        f"difference is larger than {summary.margin:g} points. Where no difference is shown, none is ruled out."
    )
    yield (
        "p (pairs): pair means as the units, signs flipped, uncorrected. Least shown: the smallest true difference that is shown with "
        "80 % power, if the error is what it is taken for."
    )
    if SAMPLE <= pairs <= FEW:
        yield f"{pairs} pairs are few, and an effect that a whole corpus has on a row is not in the error."
    silent = [verdict.row for verdict in summary.verdicts if verdict.interval is None and verdict.n]
    if silent:
        yield f"No error, and so no verdict (it takes two seeds, two test speakers, and runs that differ): {', '.join(silent)}."


def _covered(hows: Collection[str]) -> str:
    unpaired = "utterances, since speakers are unknown"
    return "test speakers" if hows == {"speakers"} else unpaired if hows == {"utterances"} else f"test speakers, or {unpaired}"
