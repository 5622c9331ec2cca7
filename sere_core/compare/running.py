"""All jobs of a plan that have no record yet, each once, by whichever executor; what others work on is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from sere_core.compare.executor import Executor
from sere_core.compare.jobs import Outcome, at_work
from sere_core.compare.places import is_done, record_of
from sere_core.compare.plan import ComparePlan

_POLL = 0.5  # seconds between two looks at what another process does


def missing_jobs(plan: ComparePlan, folder: Path) -> list[str]:
    """The jobs without a finished record: the first seed of all rows and pairs first, so that a table is there early."""
    order = {seed: index for index, seed in enumerate(plan.seeds)}
    jobs = sorted(plan.jobs, key=lambda job: order[job.seed])
    return [job for job in dict.fromkeys(job.job for job in jobs) if not is_done(folder, job)]


def run_all(
    executor: Executor, folder: Path, jobs: Sequence[str], tell: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
) -> Iterator[Outcome]:
    """Each job's outcome, done or failed.

    A job that another process works on is left to it.  When all others are done it is waited for; if that process gives up, the job
    is run here.

    Args:
        executor: who runs them.
        folder: the comparison's.
        jobs: which.
        tell: is told once that others are waited for.
        sleep: how to wait.
    """
    left, waiting = list(jobs), list[str]()
    told = False
    while left or waiting:
        with closing(_outcomes(executor, folder, left)) as outcomes:
            for outcome in outcomes:
                if outcome.state == "elsewhere":
                    waiting.append(outcome.job)
                else:
                    yield outcome
        if waiting and not told:
            told = True
            tell(f"waiting for {len(waiting)} run(s) that another process works on")
        left = []
        while waiting and not left:
            free = [job for job in waiting if not at_work(record_of(folder, job))]
            for job in free:
                waiting.remove(job)
                if is_done(folder, job):
                    yield Outcome(job, "done")
                else:
                    left.append(job)
            if waiting and not left:
                sleep(_POLL)


def _outcomes(executor: Executor, folder: Path, jobs: Sequence[str]) -> Generator[Outcome, None, None]:
    if jobs:
        yield from executor.run(folder, jobs)
