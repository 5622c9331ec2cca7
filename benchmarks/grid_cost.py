"""What a grid of runs would cost, on one machine and on many, from seconds that were measured.

    python benchmarks/grid_cost.py runs/six-pairs --pairs 12 --seeds 5 --slots 2 100
    python benchmarks/grid_cost.py runs/my_comparison
    python benchmarks/grid_cost.py seconds.csv            # lines `row,seconds`: of one job, all its folds

Reads the folder of a comparison, records that lie in folders PAIR/ROW/JOB, or a table.  A job is one row, pair and seed with all
its folds.  Its seconds are the mean of those measured in that row, with the slowest beside it.  Nothing is assumed of other machines:
a slot is one job at a time on a core like those that were measured.  Extraction of features is not in it: it is done once, before
the first job.
"""

from __future__ import annotations

import argparse
import csv
import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from sere_core.compare.plan import ComparePlan, is_done, record_of, run_seconds
from sere_core.compare.progress import duration


def measured(source: Path) -> dict[str, list[float]]:
    """Row -> seconds of each of its jobs."""
    if source.is_file():
        with open(source, newline="", encoding="utf-8") as file:
            return _grouped((row[0], float(row[1])) for row in csv.reader(file) if row and row[0] != "row")
    if (source / "plan.json").exists():
        plan = ComparePlan.read(source)
        jobs = {job.job: job.row for job in reversed(plan.jobs)}
        return _grouped((row, run_seconds(record_of(source, job))) for job, row in jobs.items() if is_done(source, job))
    return _grouped((path.parents[1].name, run_seconds(path.parent)) for path in sorted(source.glob("*/*/*/done")))


def _grouped(pairs: object) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for row, seconds in pairs:  # type: ignore[attr-defined]
        if seconds is not None:
            found[row].append(seconds)
    return dict(found)


@dataclass(frozen=True)
class Cost:
    """What a grid costs.

    Args:
        jobs: how many.
        work: seconds of all jobs, one after the other.
        spans: slots -> seconds until the last job ends.
    """

    jobs: int
    work: float
    spans: Mapping[int, float]


def cost(seconds: Mapping[str, float], pairs: int, seeds: int, slots: Sequence[int]) -> Cost:
    """The cost of every row on every pair and seed, in the order in which `sere compare` runs them.

    >>> cost({"a": 10.0, "b": 30.0}, pairs=2, seeds=1, slots=(1, 2, 50)).spans
    {1: 80.0, 2: 40.0, 50: 30.0}
    """
    jobs = [seconds[row] for _ in range(seeds) for row in seconds for _ in range(pairs)]
    return Cost(len(jobs), sum(jobs), {count: _span(jobs, count) for count in slots})


def _span(jobs: Sequence[float], slots: int) -> float:
    """Each job goes to the slot that is free first."""
    free = [0.0] * slots
    for job in jobs:
        heapq.heappush(free, heapq.heappop(free) + job)
    return max(free)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("source", type=Path, help="a comparison's folder, records in PAIR/ROW/JOB, or a CSV of `row,seconds`")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--slots", type=int, nargs="*", default=[2, 100], help="jobs at a time; default: one and fifty machines of two cores"
    )
    parser.add_argument("--rows", nargs="*", help="default: all that were measured")
    options = parser.parse_args()
    found = {row: seconds for row, seconds in measured(options.source).items() if not options.rows or row in options.rows}
    if not found:
        parser.error(f"{options.source} holds no finished job of these rows")
    means = {row: fmean(seconds) for row, seconds in found.items()}
    heads = [f"{count} slots" if count > 1 else "1 slot" for count in options.slots]
    print("| row | jobs measured | seconds a job, mean (slowest) | jobs | all of them | " + " | ".join(heads) + " |")
    print("|---|" + "---:|" * (4 + len(heads)))
    for name, rows in [*((row, {row: means[row]}) for row in means), ("**all rows**", means)]:
        whole = cost(rows, options.pairs, options.seeds, options.slots)
        each = [seconds for row in rows for seconds in found[row]]
        spans = " | ".join(duration(whole.spans[count]) for count in options.slots)
        print(f"| {name} | {len(each)} | {fmean(each):.1f} ({max(each):.1f}) | {whole.jobs} | {duration(whole.work)} | {spans} |")


if __name__ == "__main__":
    main()
