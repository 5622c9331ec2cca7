"""Who runs the jobs: anything that takes their names and gives back how they ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from sere_core.compare.jobs import Outcome


class Executor(Protocol):
    """Runs jobs of a comparison's folder, by `sere_core.compare.jobs.run_job`, wherever it likes."""

    @property
    def workers(self) -> int:
        """How many jobs run at a time."""
        ...

    def run(self, folder: Path, jobs: Sequence[str]) -> Iterator[Outcome]:
        """Each job's outcome, once, as it ends.

        A worker that is lost is a failed job, and the others go on.  Closing the iterator stops what runs.

        Args:
            folder: the comparison's folder, absolute.
            jobs: names; their configs stand in `folder/jobs`.
        """
        ...
