"""What is said while jobs run: a bar with the time left on a terminal, a line for each job elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sere_core.compare.estimate import Pace, duration, job_seconds
from sere_core.compare.jobs import Outcome
from sere_core.compare.places import read_json, record_of
from sere_core.compare.plan import ComparePlan
from sere_core.console import Speaker


class Reporter:
    """Tells of jobs as they end.

    Args:
        plan: which places the jobs have in the table.
        folder: the comparison's.
        jobs: that are to be run.
        pace: what is known of their cost.
        workers: how many run at a time.
        speaker: the terminal.
    """

    def __init__(self, plan: ComparePlan, folder: Path, jobs: Collection[str], pace: Pace, workers: int, speaker: Speaker) -> None:
        self.folder, self.pace, self.workers, self.speaker = folder, pace, workers, speaker
        self.missing = dict.fromkeys(jobs)
        self.total, self.started = len(self.missing), time.perf_counter()
        self.places = {job.job: f"{job.row} {job.pair} seed {job.seed}" for job in reversed(plan.jobs)}
        self._bar: tuple[Progress, Any] | None = None

    @contextlib.contextmanager
    def showing(self) -> Iterator[None]:
        """With a bar, where there is a terminal."""
        if not self.speaker.interactive:
            yield
            return
        columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=self.speaker.console, transient=True) as progress:
            self._bar = (progress, progress.add_task(self._left(), total=self.total))
            yield
        self._bar = None

    def ended(self, outcome: Outcome) -> None:
        """A job is done or has failed."""
        self.missing.pop(outcome.job, None)
        if outcome.state == "done":
            whole = job_seconds(read_json(record_of(self.folder, outcome.job) / "timing.json"))  # also where another process did it
            outcome = replace(outcome, seconds=whole or outcome.seconds)
            self.pace.add(outcome.job, outcome.seconds)
        number = self.total - len(self.missing)
        left = f"; {self._left()}" if self.missing and self._bar is None else ""
        place = self.places.get(outcome.job, outcome.job)
        if outcome.state == "failed":
            self.speaker.say(f"{number}/{self.total} {place} FAILED: {outcome.line}{left}")
        else:
            self.speaker.say(f"{number}/{self.total} {place}: {self._score(outcome.job)} ({duration(outcome.seconds)}){left}")
        if self._bar is not None:
            progress, task = self._bar
            progress.update(task, completed=number, description=self._left())

    def _left(self) -> str:
        seconds, unknown = self.pace.left(self.missing, self.workers)
        if unknown and seconds and len(unknown) < len(self.missing):
            return f"more than {duration(seconds)} left"
        return f"{duration(seconds)} left" if seconds else "time left: unknown until the first runs are done"

    def _score(self, job: str) -> str:
        scores = read_json(record_of(self.folder, job) / "scores.json")
        try:
            return f"UAR {100 * scores['mean']['uar']:.1f} %"
        except (TypeError, KeyError):
            return "done"
