"""The main table: rows by pairs, with means, intervals, ranks and tests against the reference (Table I of the paper has this shape)."""

from __future__ import annotations

from statistics import fmean

from sere_core.compare.stats.summary import RowSummary
from sere_core.compare.tables.cells import of_count, of_interval, of_mean, of_pair, of_rank, of_verdict, verdict_columns
from sere_core.compare.tables.model import Cell, Column, Line, Table, number, plain
from sere_core.compare.tables.source import Source

STANDING = "Best in bold, second underlined, among methods."


def main(source: Source) -> Table:
    """UAR by pair with floor, ceiling and chance, and what is left of it over all pairs."""
    columns = (Column("", ("row",), text=True), *pair_columns(source), *overall(source))
    lines = source.sections(columns, lambda row: (*pair_cells(source, row), *_overall_cells(source, row)))
    return Table(
        name="main",
        caption=source.caption(f"UAR in %, {source.seeds}"),
        columns=columns,
        sections=(*lines, (chance(source, columns),)),
        notes=(STANDING, *source.remarks(), *incomplete(source), *source.summary.notes),
    )


def pair_columns(source: Source) -> tuple[Column, ...]:
    """A column for each pair."""
    return tuple(
        Column(plain(pair), (plain(pair), f"{plain(pair)} std", f"{plain(pair)} n"), "pairs", ranked=True) for pair in source.plan.pairs
    )


def pair_cells(source: Source, row: RowSummary) -> tuple[Cell, ...]:
    """A row's cells for these."""
    return tuple(of_pair(row.pairs.get(pair)) for pair in source.plan.pairs)


def overall(source: Source) -> tuple[Column, ...]:
    """The columns over all pairs."""
    return (
        Column("mean", ("mean",), "overall", ranked=True),
        Column("interval, 95 %", ("interval low", "interval high"), "overall"),
        Column("n", ("n", "planned"), "overall"),
        Column("rank", ("average rank",), "overall"),
        *verdict_columns(source.plan.reference),
    )


def _overall_cells(source: Source, row: RowSummary) -> tuple[Cell, ...]:
    verdict = source.summary.verdict(row.row)
    mean = of_mean(row, len(source.plan.pairs), verdict)
    return (mean, of_interval(row.interval), of_count(row, source.planned), of_rank(row.rank), *of_verdict(verdict))


def incomplete(source: Source) -> tuple[str, ...]:
    """What the signs of missing runs mean, if there are any."""
    if all(row.complete for row in source.summary.rows):
        return ()
    return (f"Missing runs: - is none, a number in parentheses behind a value is that of its seeds (of {len(source.plan.seeds)}).",)


def chance(source: Source, columns: tuple[Column, ...], stub: int = 1) -> Line:
    """The line of what guessing reaches."""
    known = source.summary.chance
    cells = []
    for pair in source.plan.pairs:
        value = known.get(pair)
        cells.append(Cell(number(value), data=(None if value is None else round(100 * value, 6), None, None)))
    mean = fmean(known.values()) if len(known) == len(source.plan.pairs) else None
    cells.append(Cell(number(mean), data=(None if mean is None else round(100 * mean, 6),)))
    head = [Cell("chance"), *(Cell("", data=(None,)) for _ in range(stub - 1))]
    rest = [Cell("", data=(None,) * len(column.fields)) for column in columns[stub + len(cells) :]]
    return Line((*head, *cells, *rest), {"row": "chance", "role": "chance"})
