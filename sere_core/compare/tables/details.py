"""What the main table leaves out: recall by class, UAR by gender, what it cost."""

from __future__ import annotations

from sere_core.compare.stats.summary import RowSummary
from sere_core.compare.tables.main import STANDING
from sere_core.compare.tables.model import Cell, Column, Table, number, plain
from sere_core.compare.tables.source import Source

_ROW = Column("", ("row",), text=True)


def classes(source: Source) -> Table:
    """Recall by class, the mean over the pairs that score it."""
    every = {name for row in source.summary.rows for name in row.recall}
    order = list(dict.fromkeys(name for run in source.results.runs.values() for name in run.classes if name in every))
    columns = (_ROW, *(Column(plain(name), (f"{plain(name)} recall",), "classes", ranked=True) for name in order))
    what = "recall by class in %, folds summed, mean over seeds and over the pairs that score the class"
    notes = (STANDING, *source.remarks())
    sections = source.sections(columns, lambda row: tuple(_percent(row.recall.get(name)) for name in order))
    return Table("classes", source.caption(what), columns, sections, notes)


def gender(source: Source) -> Table:
    """UAR of the speakers of each gender, over the pairs where genders are known."""
    columns = (
        _ROW,
        Column("female", ("female UAR",), "gender", ranked=True),
        Column("male", ("male UAR",), "gender", ranked=True),
        Column("female - male", ("gap",), "gender"),
    )

    def cells(row: RowSummary) -> tuple[Cell, ...]:
        female, male = row.genders.get("female"), row.genders.get("male")
        if female is None or male is None:
            return (_percent(female), _percent(male), Cell("-", data=(None,)))
        return (_percent(female), _percent(male), Cell(f"{100 * (female - male):+.1f}", data=(round(100 * (female - male), 6),)))

    what = "UAR in % by the test speakers' gender, folds summed, mean over seeds and pairs"
    return Table("gender", source.caption(what), columns, source.sections(columns, cells), (STANDING, *source.remarks()))


def cost(source: Source) -> Table:
    """Time by phase, memory and trained parameters, medians over runs; cheaper is no rank."""
    phases = list(dict.fromkeys(phase for row in source.summary.rows for phase in row.phases))
    columns = (
        _ROW,
        Column("seconds", ("seconds",), "cost"),
        Column("peak MiB", ("peak MiB",), "cost"),
        Column("trained parameters", ("trained parameters",), "cost"),
        *(Column(f"{plain(phase)}, s", (f"{plain(phase)} seconds",), "phases") for phase in phases),
    )

    def cells(row: RowSummary) -> tuple[Cell, ...]:
        found = (_plain(row.seconds, 1), _plain(row.peak_mib, 0), _plain(row.parameters, 0))
        return (*found, *(_plain(row.phases.get(phase), 1) for phase in phases))

    what = "cost of a run, medians over runs; seconds of this machine, features from the cache where they were in it"
    return Table("cost", source.caption(what), columns, source.sections(columns, cells, blanks=False), source.remarks())


def _percent(ratio: float | None) -> Cell:
    return Cell(number(ratio), data=(None if ratio is None else round(100 * ratio, 6),))


def _plain(value: float | None, digits: int) -> Cell:
    return Cell("-" if value is None else f"{value:,.{digits}f}", data=(None if value is None else round(value, 3),))
