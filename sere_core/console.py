"""What a run says on the terminal while it prepares; during training the hooks speak."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Speaker:
    """Prints to the terminal; quiet when asked to be, and without bars where there is no terminal."""

    def __init__(self, quiet: bool, stderr: bool = False) -> None:
        self.quiet = quiet
        file = sys.stderr if stderr else sys.stdout
        self.console = Console(file=file, soft_wrap=not file.isatty())
        if self.console.is_jupyter and find_spec("ipywidgets") is None:  # rich can show no bar there: plain lines
            self.console = Console(file=file, soft_wrap=True, force_jupyter=False, force_terminal=False)

    @property
    def interactive(self) -> bool:
        """Are bars shown: on a terminal, and in a notebook that has the widgets they need?"""
        return (self.console.is_terminal or self.console.is_jupyter) and not self.quiet

    def say(self, line: str, style: str = "") -> None:
        """A line, unless quiet."""
        if not self.quiet:
            self.console.print(line, style=style, highlight=False, markup=False)

    def warn(self, lines: tuple[str, ...]) -> None:
        """Warnings, one line each, on stderr, unless quiet; the record has them anyway."""
        if self.quiet:
            return
        console = Console(stderr=True, soft_wrap=True)
        for line in lines:
            console.print(f"warning: {line}", style="yellow", highlight=False, markup=False)

    @contextmanager
    def bar(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """A progress bar with time left, updated by calls with (done, total); where there is no terminal a line each minute."""
        if not self.interactive:
            yield self._each_minute(title)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(title, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)

    def _each_minute(self, title: str) -> Callable[[int, int], None]:
        began = told = time.monotonic()

        def tell(done: int, total: int) -> None:
            nonlocal told
            now = time.monotonic()
            if now - told >= 60:
                told = now
                left = f", about {(now - began) * (total - done) / done / 60:.0f} min left" if done else ""
                self.say(f"{title}: {done} of {total}{left}")

        return tell

    @contextmanager
    def status(self) -> Iterator[Callable[[str], None]]:
        """A line that each call replaces by another; nothing where there is no terminal."""
        if not self.interactive:
            yield lambda line: None
            return
        with self.console.status("") as status:
            yield lambda line: status.update(line)
