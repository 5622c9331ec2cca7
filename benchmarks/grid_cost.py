"""What a grid of runs would cost, on one machine and on many, from seconds that were measured.

    python benchmarks/grid_cost.py runs/six-pairs --pairs 12 --seeds 5 --slots 2 100

Reads the folder of a comparison, or records that lie in folders PAIR/ROW/JOB.  A job is one row, pair and seed with all its
folds; its seconds are the mean of those measured in that row, with the slowest beside it.  A slot is one job at a time on a
core like those that were measured.  Extraction of features is not in it: it is done once, before the first job.
"""

from __future__ import annotations

import argparse
import heapq
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from sere_core.compare.plan import ComparePlan, is_done, record_of, run_seconds
from sere_core.compare.progress import duration


def measured(source: Path) -> dict[str, list[float]]:
    """Row -> seconds of each of its jobs."""
    if (source / "plan.json").exists():
        jobs = {job.job: job.row for job in reversed(ComparePlan.read(source).jobs)}
        records = [(row, record_of(source, job)) for job, row in jobs.items() if is_done(source, job)]
    else:
        records = [(path.parents[1].name, path.parent) for path in sorted(source.glob("*/*/*/done"))]
    found: dict[str, list[float]] = defaultdict(list)
    for row, record in records:
        if (seconds := run_seconds(record)) is not None:
            found[row].append(seconds)
    return found


def span(jobs: Sequence[float], slots: int) -> float:
    """Seconds until the last job ends; each goes to the slot that is free first.

    >>> [span([10.0, 10.0, 30.0, 30.0], slots) for slots in (1, 2, 50)]
    [80.0, 40.0, 30.0]
    """
    free = [0.0] * slots
    for job in jobs:
        heapq.heappush(free, heapq.heappop(free) + job)
    return max(free)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a comparison's folder, or records in PAIR/ROW/JOB")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--slots", type=int, nargs="*", default=[2, 100], help="jobs at a time")
    options = parser.parse_args()
    found = measured(options.source)
    if not found:
        parser.error(f"{options.source} holds no finished job")
    means = {row: fmean(seconds) for row, seconds in found.items()}
    slots = " | ".join(f"{count} slots" for count in options.slots)
    print(f"| row | jobs measured | seconds a job, mean (slowest) | jobs | all of them | {slots} |")
    print("|---|" + "---:|" * (4 + len(options.slots)))
    for name, rows in [*((row, [row]) for row in means), ("**all rows**", list(means))]:
        each = [seconds for row in rows for seconds in found[row]]
        jobs = [means[row] for _ in range(options.seeds) for row in rows for _ in range(options.pairs)]
        spans = " | ".join(duration(span(jobs, count)) for count in options.slots)
        what = f"{len(each)} | {fmean(each):.1f} ({max(each):.1f}) | {len(jobs)}"
        print(f"| {name} | {what} | {duration(sum(jobs))} | {spans} |")


if __name__ == "__main__":
    main()
