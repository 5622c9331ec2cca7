"""Every shape of table that a comparison has, and all of them as files.

Table I of the paper has the shape of `main`, Table II that of `ablation`, Table III that of `encoders`.  The last two take from the
rows' names what the rows are made of: `ours -dual -prototype` or `ours without dual` has the parts of `ours` without some, `floor +dual`
adds one; `one>other` (or `one/other`) names the encoder of the unlabelled source and that of the target.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from sere_core.compare.reading import Results
from sere_core.compare.stats.summary import RowSummary, Summary
from sere_core.compare.tables.source import (
    ROW,
    STANDING,
    Source,
    interval_cell,
    mean_cell,
    pair_cell,
    percent,
    points,
    quantity,
    verdict_cells,
    verdict_columns,
)
from sere_core.tables import FORMATS
from sere_core.tables.model import Cell, Column, Line, Table, number, plain, rank
from sere_registry.files import write_atomically

ON, OFF = "✓", "–"
_PART = re.compile(r"(?:^|\s)(?:([+-])|(?:without|w/o)\s+)(\w[^\s+]*)")
_COMBINED = re.compile(r"^([^\s>/]+)[>/]([^\s>/]+)$")

_MEAN = Column("mean", ("mean",), "overall", ranked=True)
_COUNT = Column("n", ("n", "planned"), "overall")
_ENDS = ("interval low", "interval high")


def build(results: Results, shape: str = "main", summary: Summary | None = None) -> Table:
    """One table of a comparison, `shape` one of `SHAPES`; `summary` if it has been computed already.

    Raises:
        SereError: T508 if the rows do not share a table.
    """
    return SHAPES[shape](Source(results, summary))


def write_tables(source: Source, folder: Path) -> list[Path]:
    """Write main, classes, gender and cost, and where rows are named so ablation and encoders, in every format of files.

    Raises:
        SereError: X704 or X705 if a file cannot be written.
    """
    paths = []
    names = [row.name for row in source.plan.rows]
    left_out = {"ablation": not part_names(names), "encoders": not encoder_names(names)}
    for shape, make in SHAPES.items():
        for format, (ending, write) in FORMATS.items():
            if format != "terminal" and not left_out.get(shape):
                paths.append(folder / f"{shape}.{ending}")
                write_atomically(paths[-1], write(make(source)).encode())
    return paths


def main(source: Source) -> Table:
    """UAR by pair with floor, ceiling and chance; means, intervals, ranks and tests against the reference."""
    columns = (
        ROW,
        *_pairs(source),
        _MEAN,
        Column("interval, 95 %", _ENDS, "overall"),
        _COUNT,
        Column("rank", ("average rank",), "overall"),
        *verdict_columns(source.plan.reference),
    )

    def cells(row: RowSummary) -> tuple[Cell, ...]:
        mean, n = _overall(source, row)
        return (
            *(pair_cell(row.pairs.get(pair)) for pair in source.plan.pairs),
            mean,
            interval_cell(row.interval),
            n,
            Cell(number(row.rank, percent=False, digits=2), data=(row.rank,)),
            *verdict_cells(source.summary.verdict(row.row)),
        )

    sections = (*source.sections(columns, cells), (source.chance(columns),))
    return Table("main", source.caption(f"UAR in %, {source.seeds}"), columns, sections, source.notes())


def ablation(source: Source) -> Table:
    """Rows by pairs, with a column that is on or off for each part, and the difference from the reference.

    A part that a row does not name is on where rows take parts away, off where they add them and in floors; else nothing is known
    of it, as of rows with another stem, which are other methods.
    """
    parts = part_names([row.name for row in source.plan.rows])
    columns = (
        ROW,
        *(Column(plain(part), (plain(part),), "parts") for part in parts),
        *_pairs(source),
        _MEAN,
        _COUNT,
        *verdict_columns(source.plan.reference),
    )
    methods = [row.name for row in source.plan.rows if row.role == "method"]
    signs = {on for row in methods for on in _switches(row).values()}
    stems = {_PART.sub("", name).strip() for name in methods if _switches(name)}
    shown = {True: Cell(ON, data=("on",)), False: Cell(OFF, data=("off",)), None: Cell()}

    def cells(row: RowSummary) -> tuple[Cell, ...]:
        own, usual = _switches(row.row), False if row.role == "floor" else None
        if row.role == "method" and len(signs) == 1 and (stems <= {""} or _PART.sub("", row.row).strip() in stems):
            usual = True not in signs
        return (
            *(shown[own.get(part, usual)] for part in parts),
            *(pair_cell(row.pairs.get(pair)) for pair in source.plan.pairs),
            *_overall(source, row),
            *verdict_cells(source.summary.verdict(row.row)),
        )

    stub = 1 + len(parts)
    sections = (*source.sections(columns, cells), (source.chance(columns, stub),))
    return Table("ablation", source.caption(f"ablation; UAR in %, {source.seeds}"), columns, sections, source.notes(), stub)


def encoders(source: Source) -> Table:
    """Pair by pair: the combinations of encoders, with interval and n."""
    columns = (
        Column("pair", ("pair",), text=True),
        Column("source's", ("source encoder",), text=True),
        Column("target's", ("target encoder",), text=True),
        Column("UAR", ("uar", "std", "n"), "uar", ranked=True),
        Column("interval, 95 %", _ENDS, "uar"),
    )
    named = encoder_names([row.name for row in source.plan.rows])
    planned = {(job.row, job.pair) for job in source.plan.jobs}
    sections = []
    for pair in source.plan.pairs:
        lines = []
        for row in source.summary.rows:
            if (row.row, pair) not in planned:
                continue
            label = source.names[row.row].label
            first, second = named.get(row.row, (label, ""))
            second += label.removeprefix(plain(row.row)) if second else ""
            found = row.pairs.get(pair)
            words = (Cell(plain(pair)), Cell(plain(first)), Cell(plain(second)))
            cells = (*words, pair_cell(found), interval_cell(found.interval if found else None))
            lines.append(Line(cells, source.names[row.row].parts))
        guess = (Cell(plain(pair)), Cell("chance"), Cell(""), percent(source.summary.chance.get(pair)), Cell(""))
        sections.append((*rank(lines, columns), Line(guess, {"row": "chance", "role": "chance"})))
    what = f"encoders of the unlabelled source and of the target; UAR in %, {source.seeds}"
    return Table("encoders", source.caption(what), columns, tuple(sections), source.notes(), stub=3)


def classes(source: Source) -> Table:
    """Recall by class, the mean over the pairs that score it."""
    every = {name for row in source.summary.rows for name in row.recall}
    order = list(dict.fromkeys(name for run in source.results.runs.values() for name in run.classes if name in every))
    columns = (ROW, *(Column(plain(name), (f"{plain(name)} recall",), "classes", ranked=True) for name in order))
    sections = source.sections(columns, lambda row: tuple(percent(row.recall.get(name)) for name in order))
    what = "recall by class in %, folds summed, mean over seeds and over the pairs that score the class"
    return Table("classes", source.caption(what), columns, sections, (STANDING, *source.remarks()))


def gender(source: Source) -> Table:
    """UAR of the speakers of each gender, over the pairs where genders are known."""
    columns = (
        ROW,
        Column("female", ("female UAR",), "gender", ranked=True),
        Column("male", ("male UAR",), "gender", ranked=True),
        Column("female - male", ("gap",), "gender"),
    )

    def cells(row: RowSummary) -> tuple[Cell, ...]:
        female, male = row.genders.get("female"), row.genders.get("male")
        return (percent(female), percent(male), points(None if female is None or male is None else female - male))

    what = "UAR in % by the test speakers' gender, folds summed, mean over seeds and pairs"
    return Table("gender", source.caption(what), columns, source.sections(columns, cells), (STANDING, *source.remarks()))


def cost(source: Source) -> Table:
    """Time by phase, memory and trained parameters, medians over runs; cheaper is no rank."""
    phases = list(dict.fromkeys(phase for row in source.summary.rows for phase in row.phases))
    columns = (
        ROW,
        *(Column(name, (name,), "cost") for name in ("seconds", "peak MiB", "trained parameters")),
        *(Column(f"{plain(phase)}, s", (f"{plain(phase)} seconds",), "phases") for phase in phases),
    )

    def cells(row: RowSummary) -> tuple[Cell, ...]:
        found = (quantity(row.seconds, 1), quantity(row.peak_mib, 0), quantity(row.parameters, 0))
        return (*found, *(quantity(row.phases.get(phase), 1) for phase in phases))

    what = "cost of a run, medians over runs; seconds of this machine, features from the cache where they were in it"
    sections = source.sections(columns, cells, blanks=False)
    return Table("cost", source.caption(what), columns, sections, source.remarks())


#: name -> how it is made
SHAPES: dict[str, Callable[[Source], Table]] = {
    "main": main,
    "ablation": ablation,
    "encoders": encoders,
    "classes": classes,
    "gender": gender,
    "cost": cost,
}


def _pairs(source: Source) -> tuple[Column, ...]:
    names = [plain(pair) for pair in source.plan.pairs]
    return tuple(Column(name, (name, f"{name} std", f"{name} n"), "pairs", ranked=True) for name in names)


def _overall(source: Source, row: RowSummary) -> tuple[Cell, Cell]:
    mean = mean_cell(row, len(source.plan.pairs), source.summary.verdict(row.row))
    planned, found = source.planned, source.planned - len(row.missing)
    return mean, Cell(str(found) if found == planned else f"{found}/{planned}", data=(found, planned))


# what a row's name tells


def part_names(rows: Sequence[str]) -> list[str]:
    """The parts that rows switch on or off, in the order in which they occur.

    >>> part_names(["ours", "ours -dual", "ours -dual -prototype"])
    ['dual', 'prototype']
    """
    return list(dict.fromkeys(part for row in rows for part in _switches(row)))


def encoder_names(rows: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Row -> its two encoders, for the rows that are named so.

    >>> encoder_names(["whisper>hubert", "source-only"])
    {'whisper>hubert': ('whisper', 'hubert')}
    """
    found = {row: _COMBINED.match(row) for row in rows}
    return {row: (match[1], match[2]) for row, match in found.items() if match}


def _switches(row: str) -> dict[str, bool]:
    return {match[2]: match[1] == "+" for match in _PART.finditer(row)}
