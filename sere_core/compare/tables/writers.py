"""The formats of files, and all tables of a comparison in all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sere_core.compare.facts import Results
from sere_core.compare.stats.summary import Summary
from sere_core.compare.tables.comma import comma
from sere_core.compare.tables.latex import latex
from sere_core.compare.tables.markdown import markdown
from sere_core.compare.tables.model import Table
from sere_registry.files import write_atomically

#: format -> the ending of its files, and what writes it
FORMATS: dict[str, tuple[str, Callable[[Table], str]]] = {
    "markdown": ("md", markdown),
    "csv": ("csv", comma),
    "latex": ("tex", latex),
}


def render(table: Table, format: str) -> str:
    """A table as the text of a file; `format` is one of `FORMATS`."""
    return FORMATS[format][1](table)


def write_tables(results: Results, folder: Path, summary: Summary | None = None) -> list[Path]:
    """Write main, classes, gender and cost, and where rows are named so ablation and encoders, in every format.

    Args:
        results: of the comparison.
        folder: of the files; made if it is not there.
        summary: of these results, if it has been computed already.

    Returns:
        The files.

    Raises:
        SereError: T508 if the rows do not share a table; X704 or X705 if a file cannot be written.
    """
    from sere_core.compare.tables.shapes import SHAPES, fitting, source

    made, paths = source(results, summary), []
    for shape in fitting(results):
        table = SHAPES[shape](made)
        for ending, write in FORMATS.values():
            path = folder / f"{shape}.{ending}"
            write_atomically(path, write(table).encode())
            paths.append(path)
    return paths
