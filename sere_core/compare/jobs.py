"""One job: run its config, and leave a finished record or the line of why there is none; and the processes that run many.

`python -m sere_core.compare.jobs FOLDER` takes names of jobs on standard input and prints their outcomes as JSON.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from sere_core.compare.plan import failure_file, is_done, job_file, record_of, write_json
from sere_core.environment import prepare_command
from sere_registry.errors import Problem, SereError
from sere_registry.files import write_atomically

State = Literal["done", "failed", "elsewhere"]
_POLL = 0.5  # seconds between two looks at what another process does
_PATIENCE = 5.0  # seconds that a process gets to end by itself
_IDLE = 60.0  # seconds without a job after which a process ends and gives its memory back
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Outcome:
    """How a job ended; "elsewhere": another process works on it."""

    job: str
    state: State
    code: str = ""
    line: str = ""


def run_job(folder: Path, job: str) -> Outcome:
    """Run a job, or resume it; an error is an outcome too."""
    failure = failure_file(folder, job)
    if not is_done(folder, job) and at_work(record_of(folder, job)):
        return Outcome(job, "elsewhere")
    try:
        if not is_done(folder, job):
            _run(folder, job)
    except SereError as cause:
        first, count = cause.problems[0], len(cause.problems)
        if first.code == "T504":
            return Outcome(job, "elsewhere")
        problem = replace(first, message=first.message + (f" (and {count - 1} more)" if count > 1 else ""))
        trace = "".join(traceback.format_exception(cause)) if count > 1 or cause.__cause__ else ""
        return failed(folder, job, problem, trace)
    except Exception as cause:  # a bug, of a plugin or of the engine: the other jobs go on
        what = f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"
        problem = Problem("T507", what, f"its traceback: {failure.with_suffix('.txt')}")
        return failed(folder, job, problem, "".join(traceback.format_exception(cause)))
    for path in (failure, failure.with_suffix(".txt")):
        path.unlink(missing_ok=True)  # a job that is done has not failed
    return Outcome(job, "done")


def _run(folder: Path, job: str) -> None:
    from sere_core.config import load
    from sere_core.console import Speaker
    from sere_core.run import obtain
    from sere_registry.catalog import Catalog

    resolved = load(job_file(folder, job), catalog=Catalog(imports="files"))  # whoever planned the job has asked
    obtain(resolved, Speaker(quiet=True), resume=True, job=job)


def failed(folder: Path, job: str, problem: Problem, trace: str = "") -> Outcome:
    place = f"{problem.place}: " if str(problem.place) else ""
    line = f"{place}[{problem.code}] {problem.message}"
    path = failure_file(folder, job)
    with contextlib.suppress(SereError):  # a full disk may be the failure itself
        if trace:
            write_atomically(path.with_suffix(".txt"), trace.encode())
        write_json(path, {"code": problem.code, "line": line})
    return Outcome(job, "failed", problem.code, line)


def at_work(record: Path) -> bool:
    """Does a process hold the lock of this record's folder?"""
    try:
        descriptor = os.open(record / ".lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class Executor(Protocol):
    """Runs jobs of a comparison's folder, by `run_job`."""

    @property
    def workers(self) -> int:
        """How many jobs run at a time."""

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

    Should this process be killed, the system ends it at once, whatever it is doing: a signal is sent when the other end of a
    pipe is closed that only this process holds.

    Two runs in one process would share torch's threads and random numbers, and a thread cannot be stopped.
    """

    def __init__(self, folder: Path, threads: int | None) -> None:
        command = [sys.executable, "-P", "-m", "sere_core.compare.jobs", str(folder)]
        environ = os.environ if threads is None else {**os.environ, **dict.fromkeys(_THREADS, str(threads))}
        lifeline, held = os.pipe()
        self._held = os.fdopen(held, "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True, pass_fds=[lifeline])
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, self.process.pid)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)  # SIGIO, which ends a process that does not catch it
        os.close(lifeline)

    def run(self, job: str) -> Outcome:
        """Run a job; ProcessLostError if the process ends before the job."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(f"{job}\n")
            self.process.stdin.flush()
            return Outcome(**json.loads(self.process.stdout.readline()))
        except (OSError, ValueError):
            code = self.end()
        raise ProcessLostError(f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}")

    def end(self) -> int:
        """Its exit code; by force, if it does not end by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE)
        self.process.kill()
        with contextlib.suppress(OSError):
            self.process.communicate()
        self._held.close()
        return self.process.returncode


class JobProcesses:
    """Processes for the jobs of one folder; each imports torch once."""

    def __init__(self, folder: Path, threads: int | None) -> None:
        self._folder, self._threads = folder, threads
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._all: list[_Process] = []
        self.closed = False

    def run(self, job: str) -> Outcome:
        """Run a job in a free process; ProcessLostError if it was killed, or all of them are."""
        with self._lock:
            if self.closed:
                raise ProcessLostError("was not started: the call has ended")
            if not self._idle:
                self._idle.append(_Process(self._folder, self._threads))
                self._all.append(self._idle[-1])
            process = self._idle.pop()
        outcome = process.run(job)
        self._idle.append(process)
        return outcome

    def close(self) -> None:
        """Kill all processes; no new one is started."""
        with self._lock:
            self.closed = True
        for process in self._all:
            process.process.kill()  # records are safe against that
        for process in self._idle:
            process.end()


class LocalProcesses:
    """Processes of this machine; of several, each has one thread."""

    def __init__(self, workers: int | None = None) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.workers = max(1, workers or cores)

    def run(self, folder: Path, jobs: Sequence[str]) -> Generator[Outcome, None, None]:
        processes = JobProcesses(folder, 1 if min(self.workers, len(jobs)) > 1 else None)

        def outcome(job: str) -> Outcome:
            try:
                return processes.run(job)
            except ProcessLostError as cause:
                if processes.closed:
                    return Outcome(job, "elsewhere")
                hint = "if memory ran out, take fewer --jobs or smaller batches"
                problem = Problem("X706", f"the process of this job {cause}", hint)
                return failed(folder, job, problem)

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
    """Each job's outcome; what another process works on is waited for, and run here if that gives up."""
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


def _serve(folder: Path) -> None:
    """Run the jobs named on standard input; die with the process that names them."""
    prepare_command()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal
    outcomes = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a plugin prints is no outcome
    jobs: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            jobs.put(line.strip())
        os.kill(os.getpid(), signal.SIGKILL)  # records are safe against that

    threading.Thread(target=read, daemon=True).start()
    import torch

    threads = torch.get_num_threads()
    with contextlib.suppress(queue.Empty):
        while True:
            outcome = run_job(folder, jobs.get(timeout=_IDLE))
            print(json.dumps(asdict(outcome)), file=outcomes, flush=True)
            torch.set_num_threads(threads)  # the job may have left another number
    os._exit(0)  # the thread that reads cannot be joined


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
