"""Processes of this interpreter that do not outlive the one that began them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

_PATIENCE = 5.0  # seconds that a process gets to end by itself
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def cores() -> int:
    """How many CPU cores this process may use; a cluster's job has some of the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Child:
    """`python WORDS`, in a session of its own, so that Ctrl-C of a terminal does not reach it.

    Should this process be killed, the system ends the child at once, whatever it is doing: a signal is sent when the other end of a
    pipe is closed that only this process holds.

    Args:
        words: what stands behind the interpreter.
        threads: of its libraries; None: theirs.
        output: keep what it prints for `printed`; else it goes where this process prints.
    """

    def __init__(self, words: Sequence[str], threads: int | None = None, *, output: bool = False) -> None:
        environ = os.environ if threads is None else {**os.environ, **dict.fromkeys(_THREADS, str(threads))}
        streams: Mapping[str, int] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if output else {}
        lifeline, held = os.pipe()
        self._held = os.fdopen(held, "wb")
        self.process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.DEVNULL,
            env=environ,
            pass_fds=[lifeline],
            start_new_session=True,
            **streams,  # type: ignore[call-overload]
        )
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, self.process.pid)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)  # SIGIO, which ends a process that does not catch it
        os.close(lifeline)

    def wait(self) -> tuple[str, str]:
        """How it ended ("" for the exit codes 0 and 1), and the end of what it printed."""
        printed = self.process.communicate()[0] or b""
        return ending(self.process.returncode), printed.decode(errors="replace")[-2000:].strip()

    def stop(self) -> None:
        """Ask it to end, and end it by force if it does not."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE)
        self.process.kill()
        self.process.communicate()
        self._held.close()


class Children:
    """A crew of children."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children

    def running(self) -> int:
        return sum(child.process.poll() is None for child in self._children)

    def problem(self) -> str:
        return next(filter(None, (ending(child.process.poll() or 0) for child in self._children)), "")

    def stop(self) -> None:
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(signal.SIGTERM)  # all at once, before one is waited for
        for child in self._children:
            child.stop()


def ending(code: int) -> str:
    """
    >>> ending(0), ending(4), ending(-9)
    ('', 'ended with 4', 'was killed by SIGKILL')
    """
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with {code}" if code > 1 else ""
