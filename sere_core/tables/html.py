"""A table as a fragment of HTML, as notebooks show it: no style sheet, so that it looks like its surroundings."""

from __future__ import annotations

from html import escape

from sere_core.tables.model import Cell, Column, Table

_ARROWS = {"better": " ↑", "worse": " ↓", "": ""}
_TAGS = {"best": "strong", "second": "u"}


def html(table: Table) -> str:
    head = "".join(_tag("th", escape(column.title), column) for column in table.columns)
    parts = ["<table>", f'<caption style="text-align:left">{escape(table.caption)}</caption>', f"<thead><tr>{head}</tr></thead>"]
    for section in table.sections:
        parts.append("<tbody>")
        for line in section:
            cells = (_tag("td", _cell(cell), column) for cell, column in zip(line.cells, table.columns, strict=True))
            parts.append(f"<tr>{''.join(cells)}</tr>")
        parts.append("</tbody>")
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    return "\n".join([*parts, "</table>", f"<ul>{notes}</ul>" if notes else ""])


def _tag(name: str, text: str, column: Column) -> str:
    return f'<{name} style="text-align:{"left" if column.text else "right"}">{text}</{name}>'


def _cell(cell: Cell) -> str:
    text = escape(cell.text) + (f" ± {escape(cell.spread)}" if cell.spread else "")
    tag = _TAGS.get(cell.standing)
    text = f"<{tag}>{text}</{tag}>" if tag else text
    return text + _ARROWS[cell.mark] + (f" <small>({escape(cell.more)})</small>" if cell.more else "")
