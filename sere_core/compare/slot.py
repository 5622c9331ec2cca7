"""What a Dask worker does: each of its slots gives jobs to a process of its own, which dies with the worker.

A thread of the worker cannot be stopped, and two runs in one process would share torch's threads and random numbers.  This process
can be ended, and it holds the lock of the run's folder: where it ends, another worker may go on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from sere_core.compare.jobs import Outcome, failed
from sere_core.compare.likeness import Needs, differences, facts

_IDLE = 60.0  # seconds without a job after which a process gives its memory back
_PATIENCE = 5.0  # seconds that a process gets to end by itself
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

_LOCK = threading.Lock()
_IDLING: dict[str, list[_Process]] = defaultdict(list)
_BUSY: dict[str, set[_Process]] = defaultdict(set)
_OVER: set[str] = set()  # calls that have ended: what is still queued for them must not begin


class ProcessLostError(Exception):
    """The process of a job was lost; the scheduler gives the job to a slot again."""


class _Process:
    """A process that runs jobs of one call; it ends when its standard input does, and that ends with the worker."""

    def __init__(self, folder: str, threads: int) -> None:
        self.pipe, there = Pipe()
        command = [sys.executable, "-m", "sere_core.compare.slot", folder, str(there.fileno()), str(threads)]
        environ = {**os.environ, **dict.fromkeys(_THREADS, str(threads))}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=2, pass_fds=[there.fileno()], env=environ)
        there.close()

    def run(self, job: str) -> Outcome | None:
        """The outcome of a job, or None if the process is gone."""
        try:
            self.pipe.send(job)
            outcome: Outcome = self.pipe.recv()
        except (EOFError, OSError):
            return None
        return outcome

    def end(self) -> int:
        """Its exit code; by force, if it does not end by itself: records are safe against that."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE)
        self.process.kill()
        self.pipe.close()
        if self.process.stdin is not None:
            self.process.stdin.close()
        return self.process.wait()


def work(folder: str, job: str, call: str, needs: Needs, wanted: Mapping[str, str]) -> Outcome:
    """Run one job, in the process of a free slot.

    Args:
        folder: the comparison's.
        job: its name.
        call: of `sere compare` that asks for it; `dismiss` ends all that runs for it.
        needs, wanted: what the machine that asks has; one that differs runs nothing.

    Raises:
        ProcessLostError: so that the job is given out again.
    """
    started = time.perf_counter()
    while True:
        taken = _idle(call)
        fresh = taken is None
        if taken is None:  # on a machine that may have joined, or changed, since the call began
            problems = differences(wanted, {"a worker that joined": facts(needs)})
            if problems:
                return failed(Path(folder), job, problems[0], seconds=time.perf_counter() - started)
            taken = _start(call, folder)
        outcome = taken.run(job)
        if outcome is not None:
            _give_back(call, taken)
            return outcome
        with _LOCK:
            _BUSY[call].discard(taken)
        code = taken.end()
        if fresh or code != 0:  # else it ended just now, because it had waited for too long
            raise ProcessLostError(f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}")


def _idle(call: str) -> _Process | None:
    """A process of this call that waits for a job.

    Raises:
        ProcessLostError: the call has ended.
    """
    with _LOCK:
        if call in _OVER:
            raise ProcessLostError("was not started: the call has ended")
        if not _IDLING[call]:
            return None
        taken = _IDLING[call].pop()
        _BUSY[call].add(taken)
        return taken


def _start(call: str, folder: str) -> _Process:
    """A new process; by default with one thread, since each slot of the worker has one."""
    started = _Process(folder, _number(os.environ.get("OMP_NUM_THREADS")))
    with _LOCK:
        _BUSY[call].add(started)
        over = call in _OVER
    if over:
        started.process.kill()
    return started


def _give_back(call: str, taken: _Process) -> None:
    with _LOCK:
        _BUSY[call].discard(taken)
        over = call in _OVER
        if not over:
            _IDLING[call] = [each for each in _IDLING[call] if each.process.poll() is None] + [taken]
    if over:
        taken.process.kill()
        taken.end()


def _number(text: str | None) -> int:
    return max(1, int(text)) if text is not None and text.isdigit() else 1


def dismiss(call: str) -> None:
    """End all processes of a call."""
    with _LOCK:
        _OVER.add(call)
        crew = [*_IDLING.pop(call, ()), *_BUSY.pop(call, ())]
    for each in crew:
        each.process.kill()
        each.process.wait()


def main(folder: str, descriptor: str, threads: str) -> None:
    """The process of a slot."""
    from sere_core.compare.local import work as work_off

    threading.Thread(target=_die_with_worker, daemon=True).start()
    with contextlib.closing(Connection(int(descriptor))) as pipe:
        work_off(folder, pipe, int(threads), _IDLE)


def _die_with_worker() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
