"""A table as CSV: numbers with all their digits, the row's full name part by part, no formatting."""

from __future__ import annotations

import csv
import io

from sere_core.compare.tables.model import Line, Table

#: the parts of a row's full name
_ABOUT = ("row", "role", "protocol", "regime", "selection", "features", "evidence", "tuning")


def comma(table: Table) -> str:
    """A header line, then a line for each row; scores in percent, empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [place for place, column in enumerate(table.columns) if column.fields != ("row",)]
    writer.writerow([*_ABOUT, *(name for place in columns for name in table.columns[place].fields)])
    for line in table.lines:
        writer.writerow(
            [*(line.about.get(name, "") for name in _ABOUT), *(value for place in columns for value in _values(table, line, place))]
        )
    return text.getvalue()


def _values(table: Table, line: Line, place: int) -> list[object]:
    cell, fields = line.cells[place], table.columns[place].fields
    values = cell.data or ((cell.text,) if table.columns[place].text else ())
    return [*("" if value is None else value for value in values), *[""] * (len(fields) - len(values))]
