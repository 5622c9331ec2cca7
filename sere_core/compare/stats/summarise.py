"""Results -> Summary: every number that tables, figures and the report show, computed in one place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median

import numpy as np

from sere_core.compare.facts import Results, RunFacts, fill_uars
from sere_core.compare.plan import Row
from sere_core.compare.stats.notes import notes
from sere_core.compare.stats.places import lacking, shared, sides
from sere_core.compare.stats.ranks import rank_rows
from sere_core.compare.stats.replicates import Replicates, gender_uars
from sere_core.compare.stats.spread import spread
from sere_core.compare.stats.summary import PairSummary, Ranking, RowSummary, Spread, Summary, Unit
from sere_core.compare.stats.verdict import verdicts


def summarise(results: Results, *, unit: Unit = "draw", alpha: float = 0.05, replicates: int = 2000, seed: int = 0) -> Summary:
    """Everything there is to say about a comparison, from the runs that are there.

    The same runs give the same summary, in whatever order they come.

    Args:
        results: rows, pairs or seeds without any run are fine; what is missing is named.
        unit, alpha: of the tests, see `verdicts`.
        replicates, seed: of the bootstrap.
    """
    fill_uars(results.runs.values())
    resampled = Replicates(results, replicates, seed, 1 - alpha)
    ranking = _ranking(results, alpha)
    ranks = dict(zip(ranking.rows, ranking.average, strict=True)) if ranking else {}
    rows = tuple(replace(_row(results, row, resampled), rank=ranks.get(row.name)) for row in results.plan.rows)
    classes = {pair: len(run.classes) for (_, pair, _), run in results.runs.items()}
    found = Summary(
        name=results.plan.name,
        reference=results.plan.reference,
        rows=rows,
        verdicts=verdicts(results, unit=unit, alpha=alpha, replicates=resampled),
        ranking=ranking,
        chance={pair: 1 / classes[pair] for pair in results.plan.pairs if pair in classes},
        alpha=alpha,
        replicates=replicates,
    )
    return replace(found, notes=notes(found))


def _row(results: Results, row: Row, replicates: Replicates) -> RowSummary:
    places = shared(results, row.name)
    runs = {pair: [results.runs[row.name, pair, seed] for seed in seeds] for pair, seeds in places.items()}
    every = [run for each in runs.values() for run in each]
    pairs = {pair: _pair(results, row.name, pair, places[pair], runs[pair], replicates) for pair in runs}
    within = [pair.uar.mean for pair in pairs.values() if pair.source and pair.source == pair.target]
    across = [pair.uar.mean for pair in pairs.values() if not pair.source or pair.source != pair.target]
    return RowSummary(
        row=row.name,
        role=row.role,
        tuning=row.tuning,
        protocols=tuple(sorted({run.protocol for run in every})),
        selections=tuple(sorted({run.selection for run in every})),
        evidence=tuple(sorted({run.evidence for run in every})),
        pairs=pairs,
        mean=_spread([pair.uar.mean for pair in pairs.values()]),
        interval=replicates.interval(row.name, places) if places else None,
        within=_spread(within),
        across=_spread(across),
        recall=_means(pair.recall for pair in pairs.values()),
        genders=_means(pair.genders for pair in pairs.values()),
        rank=None,
        seconds=_median(sum(run.seconds.values()) for run in every if run.seconds),
        phases=_medians(run.seconds for run in every),
        peak_mib=_median(run.peak_mib for run in every if run.peak_mib is not None),
        parameters=_median(run.parameters for run in every if run.parameters is not None),
        missing=lacking(results, row.name),
    )


def _pair(results: Results, row: str, pair: str, seeds: Sequence[int], runs: Sequence[RunFacts], replicates: Replicates) -> PairSummary:
    source, target = sides(pair)
    return PairSummary(
        pair=pair,
        source=source,
        target=target,
        uar=spread([run.uar for run in runs]),
        by_seed={seed: run.uar for seed, run in zip(seeds, runs, strict=True)},
        interval=replicates.interval(row, {pair: seeds}),
        recall=_means(_recall(run) for run in runs),
        genders=_means(gender_uars(runs)),
        missing=tuple(seed for seed in results.plan.seeds if seed not in seeds),
    )


def _recall(run: RunFacts) -> dict[str, float]:
    counts = run.confusion.sum(axis=0)
    scored = zip(run.classes, counts.diagonal().tolist(), counts.sum(axis=1).tolist(), strict=True)
    return {name: hits / support for name, hits, support in scored if support}


def _ranking(results: Results, alpha: float) -> Ranking | None:
    """Rows are compared within a pair over the seeds that all of them have."""
    plan, left_out = results.plan, []
    rows = []
    for row in plan.rows:
        if row.role == "ceiling":
            continue
        if not shared(results, row.name):
            left_out.append(f"row {row.name}: no run")
        else:
            rows.append(row.name)
    blocks = shared(results, *rows)
    left_out += [f"pair {pair}: no seed that all ranked rows have" for pair in plan.pairs if pair not in blocks]
    if len(rows) < 2 or not blocks:
        return None
    scores = [[fmean(results.runs[row, pair, seed].uar for seed in seeds) for pair, seeds in blocks.items()] for row in rows]
    return rank_rows(np.array(scores), rows, list(blocks), alpha, left_out)


def _spread(values: Sequence[float]) -> Spread | None:
    return spread(values) if values else None


def _gather(each: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for values in each:
        for name, value in values.items():
            found[name].append(value)
    return found


def _means(each: Iterable[Mapping[str, float]]) -> dict[str, float]:
    return {name: fmean(values) for name, values in _gather(each).items()}


def _medians(each: Iterable[Mapping[str, float]]) -> dict[str, float]:
    return {name: median(values) for name, values in _gather(each).items()}


def _median(values: Iterable[float]) -> float | None:
    found = [float(value) for value in values]
    return median(found) if found else None
