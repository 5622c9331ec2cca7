"""The scorer: the only part of the engine that reads the target's labels, once there are predictions on the disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from sere_core.data.labels import labels_of
from sere_core.data.plan import Fold, TaskPlan
from sere_core.score.metrics import Scores, Summary, check_posteriors, clustering, count, score, summarise
from sere_core.score.records import Data
from sere_registry.errors import error
from sere_registry.utterances import Recording, Utterance


class Scorer:
    """Scores folds and keeps the scores, not the labels.

    Posteriors are checked before labels are read, so that a fold that cannot be scored costs no opening.

    Args:
        plan: the task.
        target: lists the target corpus anew, with its emotions.
    """

    def __init__(self, plan: TaskPlan, target: Callable[[], Sequence[Utterance]]) -> None:
        self._plan, self._target = plan, target
        self._openings: list[dict[str, object]] = []  # who read how many of the target's labels
        self._folds: dict[int, Scores] = {}
        self._more: dict[int, dict[str, object]] = {}

    def score(
        self,
        fold: Fold,
        posteriors: NDArray[np.floating],
        embeddings: NDArray[np.floating] | None = None,
        pseudo: Sequence[int] | None = None,
    ) -> Scores:
        """Read the labels of `fold.test`, and score with them whatever there is to score.

        Args:
            fold: whose utterances.
            posteriors: `[N, C]`, in the order of `fold.test`.
            embeddings: `[N, D]`: do they cluster by label?
            pseudo: `[N]`, the classes that the method would have taken these utterances for in training.

        Raises:
            SereError: B403 (no posteriors), T505 (the labels are not those of the plan).
        """
        check_posteriors(posteriors, len(fold.test), len(self._plan.classes))
        labels = labels_of(fold, self._plan, self._target())
        self._openings.append({"opener": "scorer", "count": len(labels)})
        self._folds[fold.index] = score(posteriors, labels, self._plan.classes)
        more = self._more[fold.index] = {"speakers": _by_speaker(fold.test, posteriors, labels, len(self._plan.classes))}
        if embeddings is not None:
            more["clustering"] = clustering(embeddings, labels)
        if pseudo is not None:
            more["pseudo_accuracy"] = sum(one == label for one, label in zip(pseudo, labels, strict=True)) / len(labels)
        return self._folds[fold.index]

    @property
    def scored(self) -> frozenset[int]:
        return frozenset(self._folds)

    def of(self, fold: int) -> Scores:
        return self._folds[fold]

    def summary(self) -> Summary:
        """Over the folds scored so far, at least one."""
        return summarise([self._folds[index] for index in sorted(self._folds)], self._plan.classes)

    def as_json(self) -> dict[str, object]:
        """What scores.json holds; also between folds, for a run that is interrupted."""
        return {
            "classes": list(self._plan.classes),
            "complete": len(self._folds) == len(self._plan.folds),
            "folds": [{"fold": index, **asdict(scores), **self._more[index]} for index, scores in sorted(self._folds.items())],
            **(asdict(self.summary()) if self._folds else {}),
            "openings": self._openings,
        }

    def load(self, data: Data) -> None:
        """Take up the scores and the count of openings of an interrupted run.

        Raises:
            SereError: T505 if they are not of this task.
        """
        try:
            if tuple(data["classes"]) != self._plan.classes:
                raise ValueError("other classes")
            self._folds = {int(each["fold"]): Scores.from_json(each) for each in data["folds"]}
            more = ("speakers", "clustering", "pseudo_accuracy")
            self._more = {int(each["fold"]): {name: each[name] for name in more if name in each} for each in data["folds"]}
            self._openings = [{"opener": each["opener"], "count": each["count"]} for each in data["openings"]]
        except (KeyError, TypeError, ValueError) as cause:
            raise error("T505", f"scores.json cannot be used: {cause!r}", "start again with --fresh") from cause


def _by_speaker(
    test: Sequence[Recording], posteriors: NDArray[np.floating], labels: Sequence[int], classes: int
) -> list[dict[str, object]]:
    """Each speaker's own confusion matrix, in the order of their names; utterances without a speaker are in none."""
    rows: dict[str, list[int]] = {}
    for row, recording in enumerate(test):
        if recording.speaker:
            rows.setdefault(recording.speaker, []).append(row)
    return [
        {
            "speaker": speaker,
            "gender": test[mine[0]].gender,
            "confusion": count(posteriors[mine], [labels[row] for row in mine], classes),
        }
        for speaker, mine in sorted(rows.items())
    ]
