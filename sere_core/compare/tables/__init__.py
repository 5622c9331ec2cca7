"""Tables of a comparison: one model (`model.py`), several shapes of it (`shapes.py`), and a writer for each format (`writers.py`).

print_table(read_results(folder))
write_tables(read_results(folder), folder / "tables")
"""

from __future__ import annotations

from sere_core.compare.tables.shapes import SHAPES, build
from sere_core.compare.tables.terminal import print_table
from sere_core.compare.tables.writers import FORMATS, render, write_tables

__all__ = ["FORMATS", "SHAPES", "build", "print_table", "render", "write_tables"]
