"""Tables: one model (`model.py`), and a writer for each format: terminal, Markdown and CSV (`text.py`), LaTeX.

The report's template writes the same model as HTML.
"""

from __future__ import annotations

from collections.abc import Callable

from sere_core.tables.latex import latex
from sere_core.tables.model import Cell, Column, Line, Table
from sere_core.tables.terminal import print_tables, terminal
from sere_core.tables.text import comma, markdown

#: format of a file -> its ending, and what writes it
FORMATS: dict[str, tuple[str, Callable[[Table], str]]] = {
    "terminal": ("txt", terminal),
    "markdown": ("md", markdown),
    "csv": ("csv", comma),
    "latex": ("tex", latex),
}

__all__ = ["FORMATS", "Cell", "Column", "Line", "Table", "print_tables", "render"]


def render(table: Table, format: str) -> str:
    return FORMATS[format][1](table)
