"""Who runs the jobs: anything that takes their names and returns how they ended; here, processes of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path
from typing import Protocol

from sere_core.compare.jobs import Outcome, at_work, failed
from sere_core.compare.plan import is_done, record_of
from sere_registry.errors import Problem

_POLL = 0.5  # seconds between two looks at what another process does
_PATIENCE = 5.0  # seconds that a process gets to end by itself
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Executor(Protocol):
    """Runs jobs of a comparison's folder, by `sere_core.compare.jobs.run_job`, wherever it likes."""

    @property
    def workers(self) -> int:
        """How many jobs run at a time."""
        ...

    def run(self, folder: Path, jobs: Sequence[str]) -> Generator[Outcome, None, None]:
        """Each job's outcome, once, as it ends.

        A worker that is lost is a failed job, and the others go on.  Closing the generator stops what runs.  The folder is
        absolute, and the jobs' configs stand in `folder/jobs`.
        """
        ...


class ProcessLostError(Exception):
    """The process of a job was lost; the message says how."""


class _Process:
    """A process that runs one job after the other; it ends when its standard input does, and so with this process.

    A run has a process of its own since two in one process would share torch's threads and random numbers, and since a thread
    cannot be stopped.
    """

    def __init__(self, folder: Path, threads: int | None) -> None:
        command = [sys.executable, "-P", "-m", "sere_core.compare.jobs", str(folder)]
        environ = os.environ if threads is None else {**os.environ, **dict.fromkeys(_THREADS, str(threads))}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True)
        self._in, self._out = self.process.stdin, self.process.stdout
        self.fresh = True

    def run(self, job: str) -> Outcome | None:
        """The outcome of a job, or None if the process is gone."""
        assert self._in is not None and self._out is not None
        try:
            self._in.write(f"{job}\n")
            self._in.flush()
            return Outcome(**json.loads(self._out.readline()))
        except (OSError, ValueError):
            return None

    def end(self) -> int:
        """Its exit code; by force, if it does not end by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE)
        self.process.kill()
        with contextlib.suppress(OSError):
            self.process.communicate()
        return self.process.returncode


class JobProcesses:
    """Processes for the jobs of one folder; each imports torch once and runs one job after the other."""

    def __init__(self, folder: Path, threads: int | None) -> None:
        self._folder, self._threads = folder, threads
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self.closed = False

    def run(self, job: str) -> Outcome:
        """Run a job in a free process, or in a new one where there is none.

        Raises:
            ProcessLostError: the process was killed, or all of them are.
        """
        while True:
            process = self._take()
            outcome = process.run(job)
            if outcome is not None:
                process.fresh = False
                self._idle.append(process)
                return outcome
            code = process.end()
            with self._lock:
                self._all.discard(process)
            if process.fresh or code != 0:  # else it ended just now, because it had waited for too long
                raise ProcessLostError(f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}")

    def _take(self) -> _Process:
        with self._lock:
            if self.closed:
                raise ProcessLostError("was not started: the call has ended")
            if self._idle:
                return self._idle.pop()
            process = _Process(self._folder, self._threads)
            self._all.add(process)
            return process

    def close(self) -> None:
        """Kill all processes; no new one is started."""
        with self._lock:
            self.closed = True
            processes = [*self._all]
        for process in processes:
            process.process.kill()  # records are safe against that
        for process in processes:
            if process in self._idle:
                process.end()


class LocalProcesses:
    """Processes of this machine, at most `workers` at a time, by default as many as there are cores.

    With more than one, each has one thread, so that they do not fight for cores; one alone has the engine's default.
    """

    def __init__(self, workers: int | None = None) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.workers = max(1, workers or cores)

    def run(self, folder: Path, jobs: Sequence[str]) -> Generator[Outcome, None, None]:
        """See `Executor.run`."""
        processes = JobProcesses(folder, 1 if min(self.workers, len(jobs)) > 1 else None)

        def outcome(job: str) -> Outcome:
            started = time.perf_counter()
            try:
                return processes.run(job)
            except ProcessLostError as cause:
                if processes.closed:
                    return Outcome(job, "elsewhere")
                hint = "if memory ran out, take fewer --jobs or smaller batches"
                problem = Problem("X706", f"the process of this job {cause}", hint)
                return failed(folder, job, problem, seconds=time.perf_counter() - started)

        with ThreadPoolExecutor(self.workers) as pool:
            futures = [pool.submit(outcome, job) for job in jobs]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                processes.close()


def run_all(
    executor: Executor, folder: Path, jobs: Sequence[str], tell: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
) -> Iterator[Outcome]:
    """Each job's outcome, done or failed.

    A job that another process works on is left to it.  When all others are done it is waited for, which `tell` says once; if that
    process gives up, the job is run here.
    """
    left, waiting, said = list(jobs), list[str](), False
    while left or waiting:
        if left:
            with closing(executor.run(folder, left)) as outcomes:
                for outcome in outcomes:
                    if outcome.state == "elsewhere":
                        waiting.append(outcome.job)
                    else:
                        yield outcome
        if waiting and not said:
            said = True
            tell(f"waiting for {len(waiting)} run(s) that another process works on")
        left = []
        while waiting and not left:
            for job in [job for job in waiting if not at_work(record_of(folder, job))]:
                waiting.remove(job)
                if is_done(folder, job):
                    yield Outcome(job, "done")
                else:
                    left.append(job)
            if waiting and not left:
                sleep(_POLL)
