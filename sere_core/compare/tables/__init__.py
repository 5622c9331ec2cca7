"""Tables of a comparison: several shapes (`shapes.py`) of the model in `sere_core.tables`, which writes them.

print_tables(Console(), build(read_results(folder)))
"""

from __future__ import annotations

from sere_core.compare.tables.shapes import SHAPES, build, write_tables

__all__ = ["SHAPES", "build", "write_tables"]
