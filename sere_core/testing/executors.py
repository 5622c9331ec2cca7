"""The checks of executors: they start other commands than workers here, which end at once, badly, or not at all."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path

from sere_core.testing.subject import Checks, NotRun, Subject
from sere_registry import Crew, Executor, SereError, WorkOrder
from sere_registry.protocols import completed

CHECKS = Checks()
_PATIENCE = 60.0  # seconds
#: a worker that leaves its process's number in the folder that it is given, and what it does then
_WORKER = "import os, sys, time; open(os.path.join(sys.argv[1], str(os.getpid())), 'w').close(); "


def started(subject: Subject, then: str, jobs: int = 2) -> tuple[Path, Crew | str]:
    """The folder in which workers leave their numbers, and the crew."""
    folder = subject.fresh("comparison")
    noted = folder / "noted"
    noted.mkdir()
    try:
        crew = built(subject).start(WorkOrder("checked", folder, ("-c", _WORKER + then, str(noted)), jobs))
    except SereError as problem:
        raise _nowhere(problem) from None
    return noted, crew


def built(subject: Subject) -> Executor:
    made: Executor = completed(subject.build(), Executor)
    return made


def _nowhere(problem: SereError) -> Exception:
    """A cluster that is not there is no fault of its executor."""
    return NotRun(problem.problems[0].message) if problem.problems[0].code == "X707" else problem


def wait_for(there: Callable[[], object], what: str) -> None:
    until = time.monotonic() + _PATIENCE
    while not there():
        assert time.monotonic() < until, f"after {_PATIENCE:.0f} s {what}"
        time.sleep(0.02)


def alive(noted: Path) -> list[int]:
    """The workers that run."""
    return [int(path.name) for path in noted.iterdir() if _runs(int(path.name))]


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _ended(noted: Path, crew: Crew) -> bool:
    return any(noted.iterdir()) and not crew.running()


@CHECKS("executor.workers", "build.defaults")
def workers(subject: Subject) -> None:
    """It says how many work at a time: one at least."""
    try:
        found = built(subject).workers
    except SereError as problem:
        raise _nowhere(problem) from None
    assert type(found) is int and found >= 1, f"its `workers` is {found!r}"


@CHECKS("executor.starts", "executor.workers")
def starts(subject: Subject) -> None:
    """It starts one worker at least and no more than there are jobs, and says when they have ended."""
    noted, crew = started(subject, "")
    wait_for(lambda: list(noted.iterdir()), "no worker has started")
    if isinstance(crew, str):
        assert built(subject).detached, "its `start` returns a line, and it is not detached"
        assert crew.strip() and "\n" not in crew, f"its `start` returns {crew!r}, which is not one line"
        return
    wait_for(lambda: not crew.running(), "workers that have ended still count as running")
    count = len(list(noted.iterdir()))
    problem = crew.problem()
    crew.stop()
    assert count <= 2, f"for two jobs it started {count} workers"
    assert not problem, f"of workers that ended well its crew says that one {problem}"


@CHECKS("executor.problem", "executor.starts")
def problem(subject: Subject) -> None:
    """It says that a worker ended with an error, and takes a failed job for none."""
    for code in (1, 4):
        noted, crew = started(subject, f"sys.exit({code})", 1)
        if isinstance(crew, str):
            return
        wait_for(functools.partial(_ended, noted, crew), "its worker has not ended")
        said = crew.problem()
        crew.stop()
        assert bool(said) == (code > 1), f"of a worker that ended with {code} its crew says {said!r}"


@CHECKS("executor.stops", "executor.starts")
def stops(subject: Subject) -> None:
    """It stops its workers."""
    noted, crew = started(subject, "time.sleep(120)")
    wait_for(lambda: list(noted.iterdir()), "no worker has started")
    if isinstance(crew, str):
        for process in alive(noted):
            os.kill(process, 9)
        return
    assert crew.running(), "workers that run do not count as running"
    crew.stop()
    left = alive(noted)
    for process in left:
        os.kill(process, 9)
    assert not left and not crew.running(), "a worker goes on after `stop`"
