"""What stands in place of UAR where a target has no labels: how sure and spread predictions are, how seeds agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from sere_core.compare.reading import Results, RunFacts
from sere_core.compare.spaces import space_table
from sere_core.compare.tables import build, percent
from sere_core.score.evidence import SELECTORS, agreement
from sere_core.tables import Cell, Column, Line, Table
from sere_core.tables.model import number

_COLUMNS = (
    Column("", ("row",), text=True),
    Column("runs", ("runs",)),
    Column("confidence", ("confidence",)),
    *(Column(name, (name,)) for name in SELECTORS),
    Column("agreement", ("agreement",)),
    Column("most predicted", ("class", "share"), text=True),
)
_NOTES = (
    "NOTHING WAS SCORED: the target has no labels, and none of these numbers says which row is right.",
    "confidence: mean largest posterior in %; agreement: utterances that two seeds of a row predict alike, in %, mean "
    "over pairs of seeds; entropy, information_max and snd: the selectors' scores, larger is better.",
)


def by_scored(results: Results) -> tuple[Results, Results]:
    """The pairs that were scored, or have no run yet, and those whose target has no labels."""
    silent = {pair for (_, pair, _), run in results.runs.items() if not run.scored}

    def part(pairs: Sequence[str]) -> Results:
        plan = replace(
            results.plan,
            pairs=tuple(pairs),
            jobs=tuple(job for job in results.plan.jobs if job.pair in pairs),
        )
        runs = {place: run for place, run in results.runs.items() if place[1] in pairs}
        return replace(results, plan=plan, runs=runs, failures={place: why for place, why in results.failures.items() if place[1] in pairs})

    pairs = results.plan.pairs
    return part([pair for pair in pairs if pair not in silent]), part([pair for pair in pairs if pair in silent])


def tables(results: Results, shape: str = "main") -> list[Table]:
    """The table of the pairs that were scored, what there is of the others, and of a sweep what each row searched."""
    scored, silent = by_scored(results)
    found = [build(scored, shape)] if scored.runs else []
    found += label_free(silent) if shape == "main" or not found else []
    tuned = shape == "main" and any(row.trials for row in results.plan.rows)
    return [*found, space_table(results.plan.rows)] if tuned else found


def label_free(results: Results) -> list[Table]:
    """A table for each pair: a line for each row, means over its runs."""
    return [_of_pair(results, pair) for pair in results.plan.pairs]


def _of_pair(results: Results, pair: str) -> Table:
    lines = []
    for row in results.plan.rows:
        runs = [run for (name, where, _), run in results.runs.items() if (name, where) == (row.name, pair)]
        if runs:
            lines.append(Line((Cell(row.name), *_cells(runs)), {"row": row.name, "role": row.role, "pair": pair}))
    return Table("label-free", f"{pair}: label-free evidence, means over seeds", _COLUMNS, (tuple(lines),), _NOTES)


def _cells(runs: Sequence[RunFacts]) -> list[Cell]:
    def mean(name: str) -> float:
        return fmean(float(str(run.label_free[name])) for run in runs)

    shares = [run.label_free["shares"] for run in runs]
    pooled = {name: fmean(each[name] for each in shares if isinstance(each, Mapping)) for name in runs[0].classes}
    most = max(pooled, key=pooled.__getitem__)
    agree = agreement([run.predicted for run in runs])
    return [
        Cell(str(len(runs)), data=(len(runs),)),
        percent(mean("confidence")),
        *(Cell(f"{mean(name):.3f}", data=(mean(name),)) for name in SELECTORS),
        percent(agree),
        Cell(f"{most} {number(pooled[most])} %", data=(most, *percent(pooled[most]).data)),
    ]
