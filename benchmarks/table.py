"""How long the table of a large comparison takes, beside reading its JSON: `python benchmarks/table.py [RECORDS]`.

Makes about so many records up (5,000 if nothing is said, which takes a while), then times each step in this process.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.ratios import Ratio, in_turn
from sere_core.compare.reading import read_results
from sere_core.compare.stats.summary import summarise
from sere_core.compare.tables import build
from sere_core.tables import print_tables, render
from tests.compare.made_up import make_comparison

PAIRS, SEEDS = 12, 10
T = TypeVar("T")


def timed(title: str, work: Callable[[], T]) -> T:
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{title:<34}{wall:8.2f} s {processor:8.2f} s processor", flush=True)
    return found


def load_all(folder: Path) -> None:
    """`json.loads` of every JSON file of every record: no reader can be faster."""
    for path in (folder / "records").glob("*/*.json"):
        json.loads(path.read_bytes())


def ratios(short: bool) -> list[Ratio]:
    with tempfile.TemporaryDirectory() as temporary:
        folder, count = Path(temporary), 600 if short else 5000
        make_comparison(folder, max(2, count // (PAIRS * SEEDS)), PAIRS, SEEDS)
        works: dict[str, Callable[[], object]] = {
            "ours": lambda: build(results := read_results(folder), "main", summarise(results)),
            "json": lambda: load_all(folder),
        }
        seconds = in_turn(works, 1)
    return [Ratio(f"main table of {count} records", seconds["ours"], "json.loads of their files", seconds["json"])]


def main(records: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        timed("records made up", lambda: make_comparison(folder, max(2, records // (PAIRS * SEEDS)), PAIRS, SEEDS))
        timed("json.loads of every JSON file", lambda: load_all(folder))
        results = timed("records -> results", lambda: read_results(folder))
        summary = timed("results -> statistics", lambda: summarise(results))
        made = timed("statistics -> main table", lambda: build(results, "main", summary))
        timed("for the terminal", lambda: print_tables(Console(file=io.StringIO(), width=160), made))
        timed("as LaTeX", lambda: render(made, "latex"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
