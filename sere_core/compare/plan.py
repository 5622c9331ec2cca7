"""What a comparison runs: rows, pairs, seeds, and one job for each; `plan.json` in the comparison's folder.

runs/NAME/compare.yaml       the comparison as it was asked for
runs/NAME/plan.json          this
runs/NAME/jobs/JOB.yaml      the complete config of a job; `sere-run` runs it by itself
runs/NAME/records/JOB/       its record
runs/NAME/failures/JOB.json  {"code": ..., "line": ...} of a job that failed the last time
runs/NAME/report.html        and tables/, figures/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sere_registry.errors import error
from sere_registry.files import write_atomically

Role = Literal["method", "floor", "ceiling"]


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Args:
        name: what the table calls it.
        role: a ceiling is trained on labels of the target's other folds; a floor adapts to nothing.
        varied: the dotted config paths in which it may differ from the other rows.
        tuning: "none", or how its parameters were chosen; rows of different tuning do not share a table.
        tuned: of `varied`, the paths whose values were chosen for each pair and seed by itself.
    """

    name: str
    role: Role
    varied: tuple[str, ...]
    tuning: str = "none"
    tuned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """One run: where in the table it belongs, and its record's name.  Two places may share a job if their configs are the same."""

    row: str
    pair: str
    seed: int
    job: str


@dataclass(frozen=True)
class ComparePlan:
    """The whole plan.

    Args:
        name: of the comparison.
        rows, pairs, seeds: the table's axes, in the order of the table.
        jobs: one for each row, pair and seed.
        reference: the row that all others are tested against.
        allow: differences between records that were allowed by name, e.g. "digests.features".
        budget: what every run was given, e.g. {"epochs": 10, "steps_per_epoch": 8}.
        asked: a digest of everything that the plan was made of.
    """

    name: str
    rows: tuple[Row, ...]
    pairs: tuple[str, ...]
    seeds: tuple[int, ...]
    jobs: tuple[Job, ...]
    reference: str
    allow: tuple[str, ...]
    budget: Mapping[str, Any]
    asked: str

    def row(self, name: str) -> Row:
        """The row of that name."""
        return next(row for row in self.rows if row.name == name)

    def write(self, folder: Path) -> None:
        """Write `plan.json`.

        Raises:
            SereError: X704 or X705.
        """
        write_atomically(folder / "plan.json", json.dumps(asdict(self), indent=1, ensure_ascii=False).encode() + b"\n")

    @classmethod
    def read(cls, folder: Path) -> ComparePlan:
        """The plan of a comparison's folder.

        Raises:
            SereError: T505 if there is none, or it is damaged.
        """
        path = folder / "plan.json"
        try:
            data = json.loads(path.read_bytes())
            rows = tuple(Row(**{**row, "varied": tuple(row["varied"]), "tuned": tuple(row.get("tuned", ()))}) for row in data["rows"])
            jobs = tuple(Job(**job) for job in data["jobs"])
            lists = {name: tuple(data[name]) for name in ("pairs", "seeds", "allow")}
            return cls(data["name"], rows, jobs=jobs, reference=data["reference"], budget=data["budget"], asked=data["asked"], **lists)
        except FileNotFoundError as cause:
            raise error("T505", f"{folder} holds no comparison (no plan.json)", "`sere compare` makes one") from cause
        except (OSError, ValueError, KeyError, TypeError) as cause:
            raise error("T505", f"{path} is damaged: {cause!r}", "`sere compare` writes it again") from cause
