"""What is printed before, while and after the jobs of a comparison run."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sere_core.compare.crew import run_jobs
from sere_core.compare.jobs import Outcome
from sere_core.compare.label_free import tables
from sere_core.compare.plan import ComparePlan, record_of, run_seconds
from sere_core.compare.planning import Planned
from sere_core.compare.reading import read_results
from sere_core.compare.spaces import space_table
from sere_core.console import Speaker
from sere_core.score.records import Record
from sere_core.tables import print_tables
from sere_registry import Executor
from sere_registry.errors import SereError, counted


def grid(*titles: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row(*(Text(title, style="bold") for title in titles))
    return table


def duration(seconds: float) -> str:
    """Roughly, as words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


class JobProgress:
    """How far the missing jobs are, and how long they will take by what others took."""

    def __init__(self, plan: ComparePlan, folder: Path, missing: Collection[str], workers: int, speaker: Speaker) -> None:
        self._plan = plan
        self._folder, self._workers, self._speaker = folder, max(1, min(workers, len(missing))), speaker
        self._jobs = {job.job: job for job in reversed(plan.jobs)}
        self._missing = dict.fromkeys(missing)
        self._total = len(missing)
        self._seconds: dict[str, list[float]] = defaultdict(list)
        for job in self._jobs.keys() - self._missing.keys():
            self._note(job)

    def show(self, trials: int | None = None) -> None:
        if self._speaker.quiet:
            return
        plan, say, jobs = self._plan, self._speaker.say, len(self._jobs)
        counts = {"row": len(plan.rows), "pair": len(plan.pairs), "seed": len(plan.seeds)}
        axes = " x ".join(counted(count, what) for what, count in counts.items())
        axes += "" if trials is None else f", {trials} trials each"
        runs = f"{jobs} runs" if jobs == len(plan.jobs) else f"{len(plan.jobs)} places, {jobs} runs"
        what = "comparison" if trials is None else "sweep"
        say(f"{what} {plan.name}: {axes} = {runs}; {jobs - self._total} there, {self._total} missing")
        table = grid("row", "role", "varies", "runs")
        for row in plan.rows:
            mine = {job.job for job in plan.jobs if job.row == row.name}
            role = row.role + (", reference" if row.name == plan.reference else "")
            there = f"{len(mine - self._missing.keys())}/{len(mine)}"
            varied = ", ".join(path for path in row.varied if path not in row.space) or "nothing"
            table.add_row(Text(row.name), Text(role), Text(varied, overflow="fold"), Text(there))
        self._speaker.console.print(table)
        if trials is not None:
            print_tables(self._speaker.console, space_table(plan.rows))
        for title, words in {
            "tuning": next((row.tuning for row in plan.rows if row.tuning != "none"), ""),
            "pairs": ", ".join(plan.pairs),
            "seeds": ", ".join(map(str, plan.seeds)),
            "budget": ", ".join(f"{name} {value or 'one pass over T_u'}" for name, value in plan.budget.items()),
            "allowed": ", ".join(plan.allow),
            "time": f"{self._left()} ({self._workers} at a time)",
            "folder": str(self._folder),
        }.items():
            if words:
                say(f"{title + ':':<8} {words}")

    def ended(self, outcome: Outcome) -> int:
        """Say how a job ended; returns how many have."""
        self._missing.pop(outcome.job, None)
        if not outcome.code:
            seconds = self._note(outcome.job)
            ending = f": {self._score(outcome.job)}{'' if seconds is None else f' ({duration(seconds)})'}"
        else:
            ending = f" FAILED: {outcome.line}"
        number = self._total - len(self._missing)
        left = f"; time left: {self._left()}" if self._missing else ""
        self._speaker.say(f"{number}/{self._total} {self._jobs[outcome.job].place}{ending}{left}")
        return number

    def _note(self, job: str) -> float | None:
        seconds = run_seconds(record_of(self._folder, job))
        if seconds is not None:
            self._seconds[self._jobs[job].row].append(seconds)
        return seconds

    def _left(self) -> str:
        """By what runs of the same row took; of a row of which none is done, by what those of other rows took."""
        known = {row: fmean(seconds) for row, seconds in self._seconds.items()}
        if not known:
            return "unknown until the first runs are done"
        others = fmean(known.values())
        return f"about {duration(sum(known.get(self._jobs[job].row, others) for job in self._missing) / self._workers)}"

    def _score(self, job: str) -> str:
        try:
            uar = Record.read(record_of(self._folder, job)).scores.get("mean", {}).get("uar")
        except SereError:  # the table says so
            uar = None
        return "done" if uar is None else f"UAR {100 * uar:.1f} %"


def run_missing(planned: Planned, executor: Executor, progress: JobProgress, missing: Sequence[str], speaker: Speaker) -> bool:
    """Extract the features of all missing jobs and run these; False where the workers go on by themselves, and extract them."""
    if not executor.detached:
        from sere_core.compare.extraction import extract_features  # it imports torch

        extract_features((planned.resolved[job] for job in missing), speaker)
    ended = 0
    with speaker.bar("runs") as tell:
        for outcome in run_jobs(executor, planned.folder, missing, speaker.say):
            ended = progress.ended(outcome)
            if speaker.interactive:  # elsewhere each run has a line
                tell(ended, len(missing))
    return ended == len(missing)


def finish(folder: Path, console: Console) -> int:
    """Print table and failures; 0 if every run is done; T506 if they are not comparable."""
    results = read_results(folder)
    try:
        results.check()
        print_tables(console, *tables(results))
    finally:
        for line in results.failure_lines:
            print(line, file=sys.stderr)
    return 0 if len(results.runs) == len(results.plan.jobs) else 1
