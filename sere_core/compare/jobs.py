"""One job: run its config, and leave either a finished record or the one line of why there is none.

`python -m sere_core.compare.jobs FOLDER` is the process that executors start: names of jobs on standard input, a line of JSON with
the outcome of each on standard output.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from sere_core.compare.plan import failure_file, is_done, job_file, record_of, write_json
from sere_registry.errors import Problem, SereError
from sere_registry.files import write_atomically

State = Literal["done", "failed", "elsewhere"]
IDLE = 60.0  # seconds without a job after which a process ends and gives its memory back


@dataclass(frozen=True)
class Outcome:
    """How a job ended, in the seconds of this call: there is a finished record, a failure with its code and line, or neither yet.

    "elsewhere": another process works on it.
    """

    job: str
    state: State
    seconds: float = 0.0
    code: str = ""
    line: str = ""


def run_job(folder: Path, job: str) -> Outcome:
    """Run a job of a comparison, or go on with it; what was done before is not done again.

    Whatever goes wrong is an outcome: a user's mistake as its line, a bug as a line and its traceback in `failures/`.
    Only Ctrl-C ends it otherwise.
    """
    started, failure = time.perf_counter(), failure_file(folder, job)
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
        return failed(folder, job, problem, trace, time.perf_counter() - started)
    except Exception as cause:  # a bug, of a plugin or of the engine: the other jobs go on
        what = f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"
        problem = Problem("T507", what, f"its traceback: {failure.with_suffix('.txt')}")
        return failed(folder, job, problem, "".join(traceback.format_exception(cause)), time.perf_counter() - started)
    for path in (failure, failure.with_suffix(".txt")):
        path.unlink(missing_ok=True)  # a job that is done has not failed
    return Outcome(job, "done", time.perf_counter() - started)


def _run(folder: Path, job: str) -> None:
    from sere_core.config import load
    from sere_core.run import run

    resolved = load(job_file(folder, job))
    if resolved.digest() != job:
        what = f"{job_file(folder, job)} is not the config of job {job} any more: a component or the file has changed"
        raise SereError(Problem("T505", what, "`sere compare` plans it anew"))
    run(resolved, resume=True, quiet=True)


def failed(folder: Path, job: str, problem: Problem, trace: str = "", seconds: float = 0.0) -> Outcome:
    """Note a failure in the comparison's folder."""
    place = f"{problem.place}: " if str(problem.place) else ""
    line = f"{place}[{problem.code}] {problem.message}"
    path = failure_file(folder, job)
    with contextlib.suppress(SereError):  # a full disk may be the failure itself
        if trace:
            write_atomically(path.with_suffix(".txt"), trace.encode())
        write_json(path, {"code": problem.code, "line": line})
    return Outcome(job, "failed", seconds, problem.code, line)


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


def _serve(folder: Path) -> None:
    """Run the jobs that are named on standard input, until there is none for a while; die at once with the process that names them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one stops the others
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
        while job := jobs.get(timeout=IDLE):
            torch.set_num_threads(threads)  # the job before may have left another number
            print(json.dumps(asdict(run_job(folder, job))), file=outcomes, flush=True)
    os._exit(0)  # the thread that reads cannot be joined


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
