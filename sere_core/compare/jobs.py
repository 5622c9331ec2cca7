"""One job: run its config, and leave either a finished record or the one line of why there is none."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sere_core.compare.places import failure_file, is_done, job_file, record_of, write_json
from sere_registry.errors import Problem, SereError
from sere_registry.files import write_atomically

State = Literal["done", "failed", "elsewhere"]


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Args:
        job: which.
        state: "done" (there is a finished record), "failed", or "elsewhere": another process works on it.
        seconds: that this call took.
        code, line: of a failure.
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
    started = time.perf_counter()

    def outcome(state: State, problem: Problem | None = None, trace: str = "") -> Outcome:
        seconds = time.perf_counter() - started
        if problem is None:
            return Outcome(job, state, seconds)
        return failed(folder, job, problem, trace, seconds)

    if is_done(folder, job):
        forget_failure(folder, job)
        return outcome("done")
    if at_work(record_of(folder, job)):
        return outcome("elsewhere")
    try:
        _run(folder, job)
    except SereError as cause:
        if cause.problems[0].code == "T504":
            return outcome("elsewhere")
        more = f" (and {len(cause.problems) - 1} more)" if len(cause.problems) > 1 else ""
        first = cause.problems[0]
        trace = "".join(traceback.format_exception(cause)) if more or cause.__cause__ else ""
        return outcome("failed", Problem(first.code, f"{first.message}{more}", first.hint, first.place), trace)
    except Exception as cause:  # a bug, of a plugin or of the engine: the other jobs go on
        what = f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"
        hint = f"its traceback: {failure_file(folder, job).with_suffix('.txt')}"
        return outcome("failed", Problem("T507", what, hint), "".join(traceback.format_exception(cause)))
    forget_failure(folder, job)
    return outcome("done")


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


def forget_failure(folder: Path, job: str) -> None:
    """A job that is done has not failed."""
    for path in (failure_file(folder, job), failure_file(folder, job).with_suffix(".txt")):
        path.unlink(missing_ok=True)


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
