"""Tables of rows whose names tell what they are made of: ablations (Table II of the paper) and combinations of encoders (its Table III).

Rows of an ablation are named after the parts that are switched: `ours -dual`, `ours -dual -prototype`, or `+dual` on top of nothing.
Rows of encoder combinations are named `one>other` (or `one/other`): the encoder of the unlabelled source, and that of the target.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sere_core.compare.stats.summary import RowSummary
from sere_core.compare.tables.cells import of_count, of_interval, of_mean, of_pair, of_verdict, verdict_columns
from sere_core.compare.tables.main import STANDING, chance, incomplete, pair_cells, pair_columns
from sere_core.compare.tables.model import Cell, Column, Line, Table, number, plain, rank
from sere_core.compare.tables.source import Source

ON, OFF = "✓", "–"
_PART = re.compile(r"(?:^|\s)(?:([+-])|(?:without|w/o)\s+)(\w[^\s+]*)")
_COMBINED = re.compile(r"^([^\s>/]+)[>/]([^\s>/]+)$")


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


def ablation(source: Source) -> Table:
    """Rows by pairs, with a column that is on or off for each part, and the difference from the reference."""
    parts = part_names([row.name for row in source.plan.rows])
    columns = (
        Column("", ("row",), text=True),
        *(Column(plain(part), (plain(part),), "parts") for part in parts),
        *pair_columns(source),
        Column("mean", ("mean",), "overall", ranked=True),
        Column("n", ("n", "planned"), "overall"),
        *verdict_columns(source.plan.reference),
    )
    methods = [row.name for row in source.plan.rows if row.role == "method"]
    default, stems = _default(methods), {_stem(name) for name in methods if _switches(name)}

    def cells(row: RowSummary) -> tuple[Cell, ...]:
        verdict = source.summary.verdict(row.row)
        mean = of_mean(row, len(source.plan.pairs), verdict)
        checks = _checks(row, parts, default if stems <= {""} or _stem(row.row) in stems else None)
        return (*checks, *pair_cells(source, row), mean, of_count(row, source.planned), *of_verdict(verdict))

    stub = 1 + len(parts)
    sections = (*source.sections(columns, cells), (chance(source, columns, stub),))
    notes = (STANDING, *source.remarks(), *incomplete(source), *source.summary.notes)
    return Table("ablation", source.caption(f"ablation; UAR in %, {source.seeds}"), columns, sections, notes, stub)


def encoders(source: Source) -> Table:
    """Pair by pair: the combinations of encoders, with interval and n."""
    columns = (
        Column("pair", ("pair",), text=True),
        Column("source's", ("source encoder",), text=True),
        Column("target's", ("target encoder",), text=True),
        Column("UAR", ("uar", "std", "n"), "uar", ranked=True),
        Column("interval, 95 %", ("interval low", "interval high"), "uar"),
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
            cell = row.pairs.get(pair)
            shown = (
                Cell(plain(pair)),
                Cell(plain(first)),
                Cell(plain(second)),
                of_pair(cell),
                of_interval(cell.interval if cell else None),
            )
            lines.append(Line(shown, source.names[row.row].as_data(), row.role == "method"))
        level = source.summary.chance.get(pair)
        percent = None if level is None else round(100 * level, 6)
        guess = (Cell(plain(pair)), Cell("chance"), Cell(""), Cell(number(level), data=(percent, None, None)), Cell(""))
        sections.append((*rank(lines, columns), Line(guess, {"row": "chance", "role": "chance"})))
    notes = (STANDING, *source.remarks(), *incomplete(source), *source.summary.notes)
    what = f"encoders of the unlabelled source and of the target; UAR in %, {source.seeds}"
    return Table("encoders", source.caption(what), columns, tuple(sections), notes, stub=3)


def _switches(row: str) -> dict[str, bool]:
    return {match[2]: match[1] == "+" for match in _PART.finditer(row)}


def _stem(row: str) -> str:
    """What is left of a row's name without its switches: rows of another stem are other methods, of whose parts nothing is known."""
    return _PART.sub("", row).strip()


def _default(rows: Sequence[str]) -> bool | None:
    """Is a part on that a row does not name?  None where rows both add and take away."""
    signs = {on for row in rows for on in _switches(row).values()}
    return not signs.pop() if len(signs) == 1 else None


def _checks(row: RowSummary, parts: Sequence[str], default: bool | None) -> tuple[Cell, ...]:
    """A floor has none of the parts; what a ceiling has is not known from its name."""
    own = _switches(row.row)
    usual = {"method": default, "floor": False}.get(row.role)
    cells = []
    for part in parts:
        on = own.get(part, usual)
        cells.append(Cell("" if on is None else ON if on else OFF, data=("" if on is None else "on" if on else "off",)))
    return tuple(cells)
