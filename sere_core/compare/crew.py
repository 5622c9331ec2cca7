"""Who runs the jobs of a comparison: the executor that it names, and what comes of the workers that it starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sere_core.compare.grammar import Request
from sere_core.compare.jobs import Outcome, at_work, outcome_of
from sere_core.compare.plan import record_of
from sere_core.config.loader import bind
from sere_core.config.nodes import Node, plain
from sere_core.config.resolved import Bound
from sere_registry import Crew, Executor
from sere_registry.catalog import Catalog
from sere_registry.errors import error
from sere_registry.protocols import WorkOrder

_FRUITLESS = 3  # crews in a row of which no job comes


def bound_executor(request: Request, catalog: Catalog) -> Bound:
    """The executor of a comparison, checked; P109 for one in a file, which only a run may import."""
    block = request.root.child("executor") or plain({"use": "local"}, request.root.start)
    if isinstance(block.value, str):
        block = Node({"use": block}, block.start, block.key)
    root = Node({"executor": block}, request.root.start)
    found = bind(root, ("executor",), "executor", catalog, (), request.sources.folders)["executor",]
    if found.unread:
        raise error("P109", "an executor in a file is not imported", "announce it in an installed package", request.place("executor"))
    return found


def run_jobs(
    executor: Executor, folder: Path, jobs: Sequence[str], tell: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
) -> Iterator[Outcome]:
    """Each job's outcome, as it ends, wherever it runs; none where the workers go on by themselves, which is told.

    Workers that are lost are started again.  Closing the iterator stops what runs.

    Raises:
        SereError: X706 if no worker can do anything; what the executor says.
    """
    left, fruitless, said = dict.fromkeys(jobs), 0, False
    crew: Crew | None = None
    try:
        while left:
            ended = [outcome for job in left if (outcome := outcome_of(folder, job))]
            for outcome in ended:
                fruitless = 0
                del left[outcome.job]
                yield outcome
            if left and (crew is None or not crew.running()):
                open_jobs = [job for job in left if not (at_work(record_of(folder, job)) or outcome_of(folder, job))]
                if open_jobs:
                    started = _started(executor, folder, open_jobs, crew, fruitless)
                    fruitless += 1
                    if isinstance(started, str):
                        tell(started)
                        return
                    crew = started
                    continue
                if not said:
                    said = True
                    tell(f"waiting for {len(left)} run(s) that another process works on")
            sleep(0.2 + 0.005 * len(left))  # each look asks the file system for every job
    finally:
        if crew is not None:
            crew.stop()


def _started(executor: Executor, folder: Path, jobs: Sequence[str], before: Crew | None, fruitless: int) -> Crew | str:
    problem = before.problem() if before else ""
    if before:
        before.stop()
    if fruitless >= _FRUITLESS or (fruitless and problem):
        raise error("X706", f"the workers ended before their jobs: {problem or 'none is left'}", "the same command goes on")
    words = ("-P", "-m", "sere_core.cli", "work", str(folder), "--quiet", "--trust")  # whoever planned the jobs has asked
    return executor.start(WorkOrder(folder.name, folder, words, len(jobs)))
