"""A table as text of a file: Markdown, as GitHub reads it, and CSV, with all digits."""

from __future__ import annotations

import csv
import io
import re

from sere_core.tables.model import Cell, Line, Table
from sere_registry.cells import inert

_ARROWS = {"better": " ↑", "worse": " ↓", "": ""}


def markdown(table: Table) -> str:
    heads = [_escape(column.title) for column in table.columns]
    rules = [":---" if column.text else "---:" for column in table.columns]
    lines = [f"**{_escape(table.caption)}**", "", _row(heads), _row(rules)]
    for number, section in enumerate(table.sections):
        if number:  # there are no rules between lines in Markdown
            lines.append(_row([" "] * len(heads)))
        lines += [_row([_cell(cell) for cell in line.cells]) for line in section]
    return "\n".join([*lines, "", *(f"* {_escape(note)}" for note in table.notes), ""])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    text = _escape(cell.text) + (f" ±{cell.spread}" if cell.spread else "")
    if cell.standing:
        text = f"**{text}**" if cell.standing == "best" else f"<u>{text}</u>"
    return text + _ARROWS[cell.mark] + (f" ({_escape(cell.more)})" if cell.more else "")


def _escape(text: str) -> str:
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))


def comma(table: Table) -> str:
    """CSV: a header line, then one for each row, with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    about = dict.fromkeys(name for line in table.lines for name in line.about)
    places = [place for place, column in enumerate(table.columns) if column.fields != ("row",)]
    writer.writerow([*about, *(name for place in places for name in table.columns[place].fields)])
    for line in table.lines:
        known = [line.about.get(name, "") for name in about]
        cells = [*known, *(value for place in places for value in _values(table, line, place))]
        writer.writerow([inert(cell) if isinstance(cell, str) else cell for cell in cells])
    return text.getvalue()


def _values(table: Table, line: Line, place: int) -> list[object]:
    cell, column = line.cells[place], table.columns[place]
    values = cell.data or ((cell.text,) if column.text else ())
    return [*("" if value is None else value for value in values), *[""] * (len(column.fields) - len(values))]
