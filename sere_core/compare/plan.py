"""What a comparison runs: rows, pairs, seeds, and one job for each; and where the parts of its folder are.

runs/NAME/compare.yaml       the comparison with the flags of the command line
runs/NAME/plan.json          this
runs/NAME/jobs/JOB.yaml      the complete config of a job; `sere-run` runs it by itself
runs/NAME/records/JOB/       its record
runs/NAME/failures/JOB.json  {"code": ..., "line": ...} of a job that failed the last time
runs/NAME/lost/JOB           the processes that began it and did not end by themselves
runs/NAME/work.json          what workers read
runs/NAME/report.html        and tables/, figures/
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from sere_core.score import records
from sere_core.untrusted import checked, json_of, read_stored, unusable
from sere_registry.errors import SereError, error
from sere_registry.files import write_atomically

Role = Literal["method", "floor", "topline", "ceiling"]
_FAILURE = TypeAdapter(dict[Literal["code", "line"], str])


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Args:
        role: a ceiling is trained on labels of the target's other folds, a topline on more labels of the source than the others;
            a floor adapts to nothing.
        varied: the dotted config paths in which it may differ from the other rows.
        tuning: "none", or how its parameters were chosen.
        space: of `varied`, the paths whose values were chosen for each pair and seed by itself, with their ranges in words.
        trials: how many were drawn for each pair and seed.
    """

    name: str
    role: Role
    varied: tuple[str, ...]
    tuning: str = "none"
    space: Mapping[str, str] = field(default_factory=dict)
    trials: int = 0


@dataclass(frozen=True)
class Job:
    """One run, and its record's name.  Places with the same config share a job."""

    row: str
    pair: str
    seed: int
    job: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]

    @property
    def place(self) -> str:
        return f"{self.row} {self.pair} seed {self.seed}"


@dataclass(frozen=True)
class ComparePlan:
    """The table's axes, a job for each row, pair and seed, and the row that all others are tested against.

    Args:
        margin: points of UAR up to which a row may differ from the reference and be called equivalent.
        gap: row -> the rows between which it closes a gap.
    """

    name: str
    rows: tuple[Row, ...]
    pairs: tuple[str, ...]
    seeds: tuple[int, ...]
    jobs: tuple[Job, ...]
    reference: str
    allow: tuple[str, ...]
    budget: Mapping[str, int | None]
    margin: float = 2.0
    gap: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def missing_jobs(self, folder: Path) -> list[str]:
        """The jobs without a finished record, the first seed of all rows and pairs first."""
        return [job for job in self.in_order() if not is_done(folder, job)]

    def in_order(self) -> list[str]:
        """All jobs, in the order in which they are run."""
        return list(dict.fromkeys(job.job for job in sorted(self.jobs, key=lambda job: self.seeds.index(job.seed))))

    def write(self, folder: Path) -> None:
        write_json(folder / "plan.json", asdict(self))

    @classmethod
    def read(cls, folder: Path) -> ComparePlan:
        """The plan of a comparison's folder; T505 if there is none, or it is damaged."""
        path, again = folder / "plan.json", "`sere compare` writes it again"
        if not path.exists():
            raise error("T505", f"{folder} holds no comparison (no plan.json)", "`sere compare` makes one")
        plan = checked(json_of(read_stored(path, again), path, again), path, again, TypeAdapter(cls))
        rows = [row.name for row in plan.rows]
        known = all(job.row in rows and job.pair in plan.pairs and job.seed in plan.seeds for job in plan.jobs)
        known = known and {*plan.gap, *itertools.chain(*plan.gap.values()), plan.reference} <= set(rows)
        if not known or not plan.pairs or not plan.seeds:
            raise unusable(path, "its jobs or its reference are not of its rows, pairs and seeds", again)
        return plan


def job_file(folder: Path, job: str) -> Path:
    return folder / "jobs" / f"{job}.yaml"


def record_of(folder: Path, job: str) -> Path:
    return folder / "records" / job


def is_done(folder: Path, job: str) -> bool:
    return (folder / "records" / job / "done").exists()


def failure_file(folder: Path, job: str) -> Path:
    return folder / "failures" / f"{job}.json"


def lost_file(folder: Path, job: str) -> Path:
    return folder / "lost" / job


def read_failure(folder: Path, job: str) -> tuple[str, str] | None:
    """The code and the line of why a job failed the last time."""
    path = failure_file(folder, job)
    try:
        data = json_of(read_stored(path, ""), path, "", _FAILURE)
    except SereError:
        return None
    return data["code"], " ".join(data["line"].split())


def read_timing(record: Path) -> tuple[dict[str, float], float | None]:
    """Seconds by phase and the most memory in MiB, where timing.json can be read."""
    timing = records.read_timing(record)
    return {name: value for name, value in timing.items() if not name.startswith("peak")}, timing.get("peak_mib")


def run_seconds(record: Path) -> float | None:
    return sum(read_timing(record)[0].values()) or None


def write_json(path: Path, data: object) -> None:
    write_atomically(path, json.dumps(data, indent=1, ensure_ascii=False).encode() + b"\n")
