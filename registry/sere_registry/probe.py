"""Imports what other distributions announce in children of this process first, for listings: there an import may hang or die."""

from __future__ import annotations

import faulthandler
import json
import os
import re
import signal
import sysconfig
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Generic, NoReturn, TypeVar

from sere_registry.errors import SereError
from sere_registry.guard import running

T = TypeVar("T")
#: seconds that the imports of a distribution may take
LIMIT = 10.0


class InChild(Exception):
    """What an import in a child raised, as it was printed there."""


@dataclass
class _Child(Generic[T]):
    """The process that loads one distribution's entries."""

    entries: Sequence[T]
    pid: int
    results: IO[bytes]
    faults: IO[bytes]
    until: float = field(default_factory=lambda: time.monotonic() + LIMIT)

    def wait(self) -> str:
        """Until it ends, or its time is over; how it ended."""
        ended, status = os.waitpid(self.pid, os.WNOHANG)
        while not ended and time.monotonic() < self.until:
            time.sleep(0.01)
            ended, status = os.waitpid(self.pid, os.WNOHANG)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if not ended:
            os.waitpid(self.pid, 0)
            return f"takes longer than {LIMIT:.0f} s"
        code = os.waitstatus_to_exitcode(status)
        return f"ends the process ({signal.Signals(-code).name})" if code < 0 else f"ends the process (exit code {code})"

    def found(self) -> list[tuple[str, str]]:
        """For each entry that it came to the end of: what went wrong, and the traceback; both empty where nothing did."""
        self.results.seek(0)
        lines = [line for line in self.results.read().splitlines(keepends=True) if line.endswith(b"\n")]
        return [(message, text) for message, text in map(json.loads, lines)]

    def spot(self) -> str:
        """` (file:line)`, where it hung or crashed."""
        self.faults.seek(0)
        library, own = sysconfig.get_path("stdlib"), os.path.dirname(__file__) + os.sep  # whose threads wait, too
        for file, line in re.findall(r'File "(.*?)", line (\d+)', self.faults.read().decode(errors="replace")):
            if not file.startswith(("<", own)) and ("site-packages" in file or not file.startswith(library + os.sep)):
                return f" ({file}:{line})"
        return ""


def failures(groups: Iterable[Sequence[T]], load: Callable[[T], object]) -> Iterator[tuple[T, str, str]]:
    """Load the entries of each group in a child, all groups at once.

    Yields:
        Each entry that could not be loaded, with why and with the traceback.  Where a child hangs or dies this is said of all
        entries that it had not loaded.
    """
    children = [_start(list(group), load) for group in groups] if hasattr(os, "fork") else []
    for child in children:
        why = child.wait()
        found = child.found()
        for entry, (message, text) in zip(child.entries, found, strict=False):
            if message:
                yield entry, message, text
        for entry in child.entries[len(found) :]:
            yield entry, f"its import {why}{child.spot()}", ""
        child.faults.close()
        child.results.close()


def _start(entries: list[T], load: Callable[[T], object]) -> _Child[T]:
    results, faults = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115  # the child keeps them
    pid = os.fork()
    if not pid:
        _load(entries, load, results, faults)
    return _Child(entries, pid, results, faults)


def _load(entries: list[T], load: Callable[[T], object], results: IO[bytes], faults: IO[bytes]) -> NoReturn:
    """In the child: one line for each entry, `["", ""]` or what went wrong."""
    me = os.getpid()
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        printed = tempfile.TemporaryFile()  # noqa: SIM115
        for number, file in enumerate((nowhere, printed.fileno(), nowhere)):
            os.dup2(file, number)
        faulthandler.enable(faults)
        faulthandler.dump_traceback_later(LIMIT - 1, file=faults)
        forked: list[int] = []
        os.register_at_fork(after_in_parent=lambda: forked.append(1))
        with running(lambda line: None):
            for entry in entries:
                message, text = "", ""
                try:
                    load(entry)
                except SereError as cause:
                    if cause.problems[0].code == "P102":
                        message, text = cause.problems[0].message, "".join(traceback.format_exception(cause))
                if os.getpid() != me:
                    os._exit(0)
                if not message and (forked or os.fstat(1).st_size):  # what is printed by Python goes to stderr
                    message = "its import starts processes" if forked else "its import writes to the descriptor of stdout"
                os.write(results.fileno(), json.dumps([message, text[-100_000:]]).encode() + b"\n")
    finally:
        os._exit(0)
