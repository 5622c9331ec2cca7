"""What benchmarks share: seconds beside those of a reference that takes turns with ours, and the machine that they are of."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table

from sere_core.score.manifest import machine


@dataclass(frozen=True)
class Ratio:
    """Seconds of ours, and of the reference in the same run; both of processor time where nothing else is said."""

    what: str
    seconds: float
    reference: str
    theirs: float


def in_turn(works: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.process_time) -> dict[str, float]:
    """The median seconds of each, over rounds in which they take turns, and one before that warms up."""
    turns = [{name: timed(work, clock) for name, work in works.items()} for _ in range(rounds + 1)][1:]
    return {name: statistics.median(turn[name] for turn in turns) for name in works}


def timed(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    begin = clock()
    work()
    return clock() - begin


class PartClock:
    """Processor seconds by part of a program; a part's clock stands still while a part within it runs.

    Args:
        rest: the part that runs where no other does.
    """

    def __init__(self, rest: str) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.running, self._since = [rest], time.process_time()

    def charge(self) -> None:
        """Count what has gone by since the last time for the part that runs."""
        now = time.process_time()
        self.seconds[self.running[-1]] += now - self._since
        self._since = now

    def watch(self, owner: Any, name: str, part: str) -> None:
        """Count the calls of a function of a module, a class or an object for a part."""
        inner = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.charge()
            self.running.append(part)
            try:
                return inner(*args, **kwargs)
            finally:
                self.charge()
                self.running.pop()

        setattr(owner, name, call)


def of_process(words: Sequence[str], environ: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Wall and processor seconds of `python WORDS`, with its children; SystemExit if it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{list(words)} ended with {process.returncode}: {said[-1000:]}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def show(ratios: Sequence[Ratio]) -> None:
    """Print the machine and a table."""
    import torch

    here = machine(torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu", "float32")
    print(f"{here['cpu']}, {here['cores']} cores, {here['system']}, device {here['device']}")
    busy = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"Python {platform.python_version()}, torch {version('torch')}, {torch.get_num_threads()} threads; load {busy}")
    table = Table("what", "seconds", "reference", "its seconds", "ours / its")
    for column in table.columns[1::2]:
        column.justify = "right"
    table.columns[4].justify = "right"
    for each in ratios:
        table.add_row(each.what, f"{each.seconds:.3f}", each.reference, f"{each.theirs:.3f}", f"{each.seconds / each.theirs:.3f}")
    Console(width=None if sys.stdout.isatty() else 140).print(table)
