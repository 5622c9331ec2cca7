"""How long the missing jobs will take, from what finished ones took; nothing is guessed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from statistics import fmean

from sere_core.compare.places import is_done, read_json, record_of
from sere_core.compare.plan import ComparePlan

#: phases of timing.json that are not seconds of work
_NOT_SECONDS = ("peak", "memory", "mib")


class Pace:
    """Seconds of jobs, by row; grows while jobs end.

    Args:
        plan: which rows the jobs belong to.
    """

    def __init__(self, plan: ComparePlan) -> None:
        self._row = {job.job: job.row for job in reversed(plan.jobs)}
        self._seconds: dict[str, list[float]] = defaultdict(list)

    @classmethod
    def of_records(cls, plan: ComparePlan, folder: Path) -> Pace:
        """What the finished jobs of a comparison took, as their records say."""
        pace = cls(plan)
        for job in pace._row:
            if is_done(folder, job):
                seconds = job_seconds(read_json(record_of(folder, job) / "timing.json"))
                if seconds is not None:
                    pace.add(job, seconds)
        return pace

    def add(self, job: str, seconds: float) -> None:
        """A job has ended."""
        self._seconds[self._row[job]].append(seconds)

    def left(self, jobs: Collection[str], workers: int) -> tuple[float, tuple[str, ...]]:
        """Seconds that these jobs will take, and the rows of which nothing is known, whose jobs are not in the sum."""
        total, unknown = 0.0, dict[str, None]()
        for job in jobs:
            known = self._seconds.get(self._row[job])
            if known:
                total += fmean(known)
            else:
                unknown[self._row[job]] = None
        return total / max(1, min(workers, len(jobs))), tuple(unknown)

    def words(self, jobs: Collection[str], workers: int) -> str:
        """The estimate as words.

        >>> from sere_core.compare.plan import Job
        >>> jobs = (Job("a", "x>y", 0, "j0"), Job("a", "x>y", 1, "j1"), Job("b", "x>y", 0, "j2"))
        >>> pace = Pace(ComparePlan("n", (), (), (), jobs, "a", (), {}, ""))
        >>> pace.words(["j1", "j2"], 1)
        'unknown until the first runs are done'
        >>> pace.add("j0", 90.0)
        >>> pace.words(["j1"], 1), pace.words(["j1", "j2"], 1)
        ('about 2 min', 'about 2 min, and the rows of which no run is done yet: b')
        """
        seconds, unknown = self.left(jobs, workers)
        if not seconds:
            return "unknown until the first runs are done"
        more = f", and the rows of which no run is done yet: {', '.join(unknown)}" if unknown else ""
        return f"about {duration(seconds)}{more}"


def job_seconds(timing: Mapping[str, float] | None) -> float | None:
    """The seconds of a job, of its timing.json; peaks of memory stand there, too."""
    if not isinstance(timing, Mapping):
        return None
    return sum(value for name, value in timing.items() if not any(word in name.lower() for word in _NOT_SECONDS))


def duration(seconds: float) -> str:
    """Roughly, as words.

    >>> duration(12.4), duration(100), duration(9000)
    ('12 s', '2 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
