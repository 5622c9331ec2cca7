"""One job: run its config, and leave a finished record or the line of why there is none."""

from __future__ import annotations

import contextlib
import fcntl
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sere_core.compare.plan import failure_file, is_done, job_file, lost_file, read_failure, record_of, write_json
from sere_registry.errors import Problem, SereError, error
from sere_registry.files import append, write_atomically

if TYPE_CHECKING:
    from sere_core.config import Resolved


@dataclass(frozen=True)
class Outcome:
    """How a job ended; of one that is done code and line are empty."""

    job: str
    code: str = ""
    line: str = ""


def outcome_of(folder: Path, job: str) -> Outcome | None:
    """How a job ended, wherever it ran; None of one that is open."""
    if is_done(folder, job):
        return Outcome(job)
    failure = read_failure(folder, job) if failure_file(folder, job).exists() else None
    return None if failure is None else Outcome(job, *failure)


def read_job(folder: Path, job: str, trust: bool) -> Resolved:
    """The config of a job, which may be a stranger's: `file:` components are imported with `trust` alone.

    Raises:
        SereError: P109 for each file without it; as `load`.
    """
    from sere_core.config import load
    from sere_core.plan import importing

    if trust:
        return load(job_file(folder, job), catalog=importing())
    resolved = load(job_file(folder, job))
    if resolved.unread:
        hint = "look at it; --trust imports it"
        files = [(f"{path}.use", bound.distribution) for path, bound in resolved.unread.items()]
        raise SereError(*(Problem("P109", f"{file} is code that the job names", hint, resolved.place(path)) for path, file in files))
    return resolved


def run_job(folder: Path, job: str, losses: int = 4, trust: bool = False) -> Outcome | None:
    """Run a job, or resume it; an error is an outcome too.  None where another process works on it.

    Args:
        losses: so many processes in a row may be lost in it (X706 of the one after).
        trust: see `read_job`.

    Raises:
        SereError: P109, X705 and X708, which say that this worker cannot run it: others may, or this one when the disk has room.
    """
    if not is_done(folder, job) and at_work(record_of(folder, job)):
        return None
    lost = lost_file(folder, job)

    def begin() -> None:
        """Note that a process is in it; whoever ends by itself takes the notes away."""
        before = len(lost.read_text().splitlines()) if lost.exists() else 0
        if before >= losses:
            hint = "if memory ran out, take fewer --jobs or smaller batches; the same `sere compare` tries again"
            raise error("X706", f"{before} process(es) in a row were lost in this job", hint)
        lost.parent.mkdir(exist_ok=True)
        append(lost, f"{os.uname().nodename} {os.getpid()}\n".encode())

    try:
        if not is_done(folder, job):
            _run(read_job(folder, job, trust), job, begin)
    except SereError as cause:
        first, count = cause.problems[0], len(cause.problems)
        if first.code == "T504":
            return None
        if first.code == "X705":
            lost.unlink(missing_ok=True)
        if first.code in ("P109", "X705", "X708"):
            raise
        problem = replace(first, message=first.message + (f" (and {count - 1} more)" if count > 1 else ""))
        return _failed(folder, job, problem, cause if count > 1 or cause.__cause__ else None)
    except Exception as cause:  # a bug, of a plugin or of the engine: the other jobs go on
        what = f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"
        problem = Problem("T507", what, f"its traceback: {failure_file(folder, job).with_suffix('.txt')}")
        return _failed(folder, job, problem, cause)
    except KeyboardInterrupt:
        lost.unlink(missing_ok=True)
        raise
    forget_failure(folder, job)  # a job that is done has not failed
    return Outcome(job)


def _run(resolved: Resolved, job: str, begin: Callable[[], None]) -> None:
    from sere_core.console import Speaker
    from sere_core.run import obtain

    obtain(resolved, Speaker(quiet=True), resume=True, job=job, begin=begin)


def _failed(folder: Path, job: str, problem: Problem, cause: BaseException | None) -> Outcome:
    place = f"{problem.place}: " if str(problem.place) else ""
    line = f"{place}[{problem.code}] {problem.message}" + (f"; {problem.hint}" if problem.hint else "")
    path = failure_file(folder, job)
    lost_file(folder, job).unlink(missing_ok=True)
    with contextlib.suppress(SereError):  # a full disk may be the failure itself
        if cause is not None:
            write_atomically(path.with_suffix(".txt"), "".join(traceback.format_exception(cause)).encode())
        write_json(path, {"code": problem.code, "line": line})
    return Outcome(job, problem.code, line)


def forget_failure(folder: Path, job: str) -> None:
    failure = failure_file(folder, job)
    for path in (failure, failure.with_suffix(".txt"), lost_file(folder, job)):
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
