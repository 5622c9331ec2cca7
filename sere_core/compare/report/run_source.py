"""A finished run as its report sees it: the record, and its data where they are on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.report.figures import History, history
from sere_core.config import Resolved
from sere_core.identity import check_unchanged, identify
from sere_core.plan import Plan, make_plan, recorded
from sere_core.score.records import Prediction, Record
from sere_registry.errors import SereError
from sere_registry.utterances import Recording


@dataclass(frozen=True)
class Source:
    """A record, and the data that it was made of where these are on this machine.

    Args:
        record: of the run.
        resolved, plan: from its config; None without the data.
        missing: why there are no data; "" where they are.
    """

    record: Record
    resolved: Resolved | None = None
    plan: Plan | None = None
    missing: str = ""

    @classmethod
    def of(cls, folder: Path, trust: bool) -> Source:
        """T505 if the folder holds no finished run; `trust` as in `sere_core.plan.recorded`."""
        record = Record.read(folder)
        try:
            resolved = recorded(folder, trust)
            plan = make_plan(resolved)
            check_unchanged(identify(plan), record.manifest, folder)
        except SereError as cause:
            return cls(record, missing=cause.problems[0].message)
        return cls(record, resolved, plan)

    @cached_property
    def scored(self) -> bool:
        return bool(self.record.scores["folds"])

    @cached_property
    def classes(self) -> list[str]:
        return list(self.record.scores["classes"])

    @cached_property
    def recordings(self) -> dict[str, Recording]:
        """Of the target, by id."""
        tests = (recording for fold in self.plan.task.folds for recording in fold.test) if self.plan else ()
        return {recording.id: recording for recording in tests if recording.path.exists()}

    @cached_property
    def labelled(self) -> list[Prediction]:
        """The predictions whose truth is known."""
        return [each for each in self.record.predictions if each.truth]

    @cached_property
    def history(self) -> History:
        return history([self.record.history])

    def posteriors(self) -> tuple[NDArray[np.float64], list[int]]:
        """`[N, C]` and labels `[N]`, of what was scored."""
        return np.array([each.posteriors for each in self.labelled]), [self.classes.index(each.truth) for each in self.labelled]
