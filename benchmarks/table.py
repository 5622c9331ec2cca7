"""How long the table of a large comparison takes, beside reading its JSON: `python benchmarks/table.py [--keep FOLDER]`.

Makes records up (42 rows, 12 pairs, 10 seeds, ten speakers each; this takes a while) and times `sere table` as a whole process, then its
steps in one process: reading and proof, statistics, table.
Seconds of wall and of processor time, and the wall time as a multiple of `json.loads` of all their JSON files in the same process.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

PAIRS, SEEDS = 12, 10


def timed(title: str, work: Callable[[], Any], unit: float | None = None) -> tuple[float, Any]:
    """Do the work, print what it took."""
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{title:<44}{wall:8.2f} s {processor:8.2f} s processor" + (f"{wall / unit:8.2f} x json.loads" if unit else ""), flush=True)
    return wall, found


def command(title: str, folder: Path, runs: int) -> None:
    """Time `sere table`, each run a process; medians and the least."""
    words = [sys.executable, "-c", "import sys; from sere_core.cli import main; sys.exit(main())", "table", str(folder)]
    wall, processor = [], []
    for _ in range(runs):
        start = time.perf_counter()
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
        _, status, usage = os.wait4(process.pid, 0)
        wall.append(time.perf_counter() - start)
        processor.append(usage.ru_utime + usage.ru_stime)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"sere table ended with {process.returncode}")
    said = f"{statistics.median(wall):8.2f} s {statistics.median(processor):8.2f} s processor"
    print(f"{title:<44}{said}; least {min(wall):.2f} s, {min(processor):.2f} s processor", flush=True)


def load_all(folder: Path) -> int:
    """`json.loads` of every JSON file of every record."""
    files = [path for record in (folder / "records").iterdir() for path in (*record.glob("*.json"), record / "done")]
    return sum(len(json.loads(path.read_bytes())) for path in files)


def measure(folder: Path, runs: int) -> None:
    """All steps, on records that are there."""
    from rich.console import Console

    from sere_core.compare.reading import read_results
    from sere_core.compare.stats.summary import summarise
    from sere_core.compare.tables import build
    from sere_core.tables import print_tables, render

    load_all(folder)  # the files are in memory from here on: a disk is not what is measured
    command("`sere table`", folder, runs)
    unit, _ = timed("json.loads of every JSON file", lambda: load_all(folder))
    _, results = timed("records -> results", lambda: read_results(folder), unit)
    _, summary = timed("results -> statistics", lambda: summarise(results), unit)
    timed(
        "main table for the terminal", lambda: print_tables(Console(file=io.StringIO(), width=160), build(results, "main", summary)), unit
    )
    timed("main table as LaTeX", lambda: render(build(results, "main", summary), "latex"), unit)


def main() -> None:
    """Make the records where there are none, and measure."""
    from tests.compare.made_up import make_comparison

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--records", type=int, default=5000, help="about how many")
    parser.add_argument("--keep", type=Path, help="a folder for the records: made there once, used again")
    parser.add_argument("--runs", type=int, default=5, help="of the whole command")
    options = parser.parse_args()
    rows = max(2, round(options.records / (PAIRS * SEEDS)))
    pairs, seeds = (PAIRS, SEEDS) if options.records > 2 * PAIRS * SEEDS else (3, max(1, round(options.records / 6)))
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        if not (folder / "plan.json").exists():
            timed(f"{rows * pairs * seeds} records made up", lambda: make_comparison(folder, rows, pairs, seeds))
            time.sleep(0.2)
        measure(folder, options.runs)


if __name__ == "__main__":
    main()
