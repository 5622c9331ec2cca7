"""Jobs in processes of this machine: each imports torch once and takes one job after the other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from sere_core.compare.jobs import Outcome, failed, run_job
from sere_registry.errors import Problem

_PATIENCE = 5.0  # seconds that a process gets to end by itself


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalProcesses:
    """Spawned processes, at most `workers` at a time.

    With more than one, each has one thread, so that they do not fight for cores; one alone has the engine's default.

    Args:
        workers: how many; default: as many as there are cores.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = max(1, workers or cores())

    def run(self, folder: Path, jobs: Sequence[str]) -> Generator[Outcome, None, None]:
        """See `Executor.run`."""
        queue = deque(jobs)
        threads = 1 if min(self.workers, len(jobs)) > 1 else None
        crew: list[_Worker] = []
        try:
            while queue or any(worker.job for worker in crew):
                while len(crew) < self.workers and len(queue) > sum(worker.job is None for worker in crew):
                    crew.append(_Worker.start(folder, threads))
                for worker in crew:
                    if queue and worker.job is None:
                        worker.give(queue.popleft())
                for worker in _ready(crew):
                    outcome = worker.collect()
                    if outcome is None:
                        crew.remove(worker)
                        outcome = worker.lost(folder)
                    yield outcome
        finally:
            for worker in crew:
                worker.stop()


@dataclass(eq=False)
class _Worker:
    """One process and the job that it works on."""

    process: Any
    pipe: Connection
    job: str | None = None
    since: float = field(default=0.0)

    @classmethod
    def start(cls, folder: Path, threads: int | None) -> _Worker:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=work, args=(str(folder), there, threads), name="sere-job")
        process.start()
        there.close()  # else the end of the process would not be the end of the pipe
        return cls(process, here)

    def give(self, job: str) -> None:
        self.job, self.since = job, time.perf_counter()
        try:
            self.pipe.send(job)
        except OSError:  # it died while idle: `collect` finds the pipe's end
            return

    def collect(self) -> Outcome | None:
        """The outcome of the job, or None if the process is gone."""
        try:
            outcome: Outcome = self.pipe.recv()
        except (EOFError, OSError):
            return None
        self.job = None
        return outcome

    def lost(self, folder: Path) -> Outcome:
        """The outcome of a job whose process is gone."""
        self.process.join(_PATIENCE)
        assert self.job is not None
        code = self.process.exitcode
        how = f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with {code}"
        hint = "if memory ran out, take fewer --jobs or smaller batches"
        problem = Problem("X706", f"the process of this job {how}", hint)
        return failed(folder, self.job, problem, seconds=time.perf_counter() - self.since)

    def stop(self) -> None:
        """End an idle process by its pipe, a busy one by force: records are safe against that."""
        if self.job is not None:
            self.process.terminate()
        self.pipe.close()
        self.process.join(_PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _ready(crew: Sequence[_Worker]) -> list[_Worker]:
    """Wait for the first workers that have ended their job, or themselves."""
    busy = {worker.pipe: worker for worker in crew if worker.job}
    return [busy[pipe] for pipe in wait(list(busy)) if isinstance(pipe, Connection)] if busy else []


def work(folder: str, pipe: Connection, threads: int | None, patience: float | None = None) -> None:
    """The process: job after job until the pipe ends.

    Args:
        folder: the comparison's.
        pipe: names of jobs in, outcomes out.
        threads: of torch; default: the engine's.
        patience: seconds without a job after which the process ends; default: it waits.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one stops the others
    if threads is not None:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(threads)
    import torch

    start = threads or torch.get_num_threads()
    while True:
        try:
            if not pipe.poll(patience):
                return
            job = pipe.recv()
        except (EOFError, OSError):
            return
        torch.set_num_threads(start)  # the job before may have left another number
        outcome = run_job(Path(folder), job)
        try:
            pipe.send(outcome)
        except OSError:
            return  # nobody is left to tell; the record tells
