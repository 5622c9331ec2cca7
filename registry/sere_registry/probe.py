"""Imports what other distributions announce in children of this process first, for listings: there an import may hang or die."""

from __future__ import annotations

import faulthandler
import json
import os
import re
import select
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
    pipe: int
    faults: IO[bytes]
    said: bytes = b""
    until: float = field(default_factory=lambda: time.monotonic() + LIMIT)

    def wait(self) -> str:
        """Until it has said something of every entry; why it has not."""
        why = ""
        while self.said.count(b"\n") < len(self.entries) and not why:
            ready = select.select([self.pipe], [], [], max(0.0, self.until - time.monotonic()))[0]
            more = os.read(self.pipe, 1 << 16) if ready else b""
            self.said += more
            why = "" if more else "ends the process" if ready else f"takes longer than {LIMIT:.0f} s"
        if why.startswith("ends"):
            time.sleep(0.05)  # it may still be about to
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.pipe)
        if why.startswith("ends"):
            why += f" ({signal.Signals(-code).name})" if code < 0 else f" (exit code {code})"
        return why

    def spot(self) -> str:
        """` (file:line)`, where it hung or crashed."""
        self.faults.seek(0)
        library = sysconfig.get_path("stdlib")
        for file, line in re.findall(r'File "(.*?)", line (\d+)', self.faults.read().decode(errors="replace")):
            if not file.startswith(("<", library + os.sep)) or "site-packages" in file:
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
        found = [json.loads(line) for line in child.said.splitlines()[: len(child.entries)] if line.startswith(b"[")]
        for entry, (message, text) in zip(child.entries, found, strict=False):
            if message:
                yield entry, message, text
        for entry in child.entries[len(found) :]:
            yield entry, f"its import {why}{child.spot()}", ""
        child.faults.close()


def _start(entries: list[T], load: Callable[[T], object]) -> _Child[T]:
    read, write = os.pipe()
    faults = tempfile.TemporaryFile()  # noqa: SIM115  # the child keeps it
    pid = os.fork()
    if not pid:
        _load(entries, load, write, faults)
    os.close(write)
    return _Child(entries, pid, read, faults)


def _load(entries: list[T], load: Callable[[T], object], write: int, faults: IO[bytes]) -> NoReturn:
    """In the child: one line for each entry, `["", ""]` or what went wrong."""
    me, leave = os.getpid(), os._exit
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
                    leave(0)
                if not message and (forked or os.fstat(1).st_size):  # what is printed by Python goes to stderr
                    message = "its import starts processes" if forked else "its import writes to the descriptor of stdout"
                os.write(write, json.dumps([message, text[-100_000:]]).encode() + b"\n")
    finally:
        leave(0)
