"""The scorer: the only part of the engine that reads the target's labels, once there are predictions on the disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sere_core.data.labels import labels_of
from sere_core.data.plan import Fold, TaskPlan
from sere_core.score.calibration import MEASURES, confidence
from sere_core.score.evidence import evidence
from sere_core.score.metrics import Scores, Summary, check_posteriors, clustering, count, score, summarise
from sere_core.score.records import ORACLE, Data, Prediction
from sere_registry.errors import error
from sere_registry.utterances import Recording, Utterance

Measure = Callable[[NDArray[np.floating], Sequence[int]], Mapping[str, float]]


class Scorer:
    """Scores folds and keeps the scores, not the labels.

    Posteriors are checked before labels are read, so that a fold that cannot be scored costs no opening.  Unlabelled utterances
    are not scored; where the whole target is unlabelled nothing is opened, and what can be said without labels stands in for scores.

    Args:
        plan: the task.
        target: lists the target corpus anew, with its emotions.
        measure: the config's own metrics, of posteriors and labels.
    """

    def __init__(self, plan: TaskPlan, target: Callable[[], Sequence[Utterance]], measure: Measure = lambda *_: {}) -> None:
        self._plan, self._target, self._measure = plan, target, measure
        self._openings: list[dict[str, object]] = []  # who read how many of the target's labels
        self._folds: dict[int, Scores] = {}
        self._more: dict[int, dict[str, object]] = {}
        self._pooled: dict[str, object] = {}
        self._evidence: dict[str, object] = {}
        self._oracle: dict[int, dict[str, object]] = {}

    def choose(self, fold: Fold, epochs: Mapping[int, NDArray[np.floating]]) -> int:
        """The epoch with the highest UAR, the last of equals: read the labels of `fold.test` to choose by them.

        For runs that declare this exception alone; the opener is the "oracle".

        Args:
            fold: whose utterances, all of whose training is over.
            epochs: number -> posteriors `[N, C]`, in the order of `fold.test`.

        Raises:
            SereError: as `score`.
        """
        for posteriors in epochs.values():
            check_posteriors(posteriors, len(fold.test), len(self._plan.classes))
        known = labels_of(fold, self._plan, self._target())
        self._openings.append({"opener": ORACLE, "count": len(known)})
        rows, labels = list(known), list(known.values())
        found = {number: score(posteriors[rows], labels, self._plan.classes).uar for number, posteriors in epochs.items()}
        best = max(found, key=lambda number: (found[number], number))
        self._oracle[fold.index] = {"epoch": best, "uar": [found[number] for number in sorted(found)]}
        return best

    def score(
        self,
        fold: Fold,
        posteriors: NDArray[np.floating],
        embeddings: NDArray[np.floating] | None = None,
        pseudo: Sequence[int] | None = None,
    ) -> Scores:
        """Read the labels of `fold.test`, and score with them whatever there is to score of the labelled utterances.

        Args:
            fold: whose utterances.
            posteriors: `[N, C]`, in the order of `fold.test`.
            embeddings: `[N, D]`: do they cluster by label?
            pseudo: `[N]`, the classes that the method would have taken these utterances for in training.

        Raises:
            SereError: B403 (no posteriors), T505 (the labels are not those of the plan).
        """
        check_posteriors(posteriors, len(fold.test), len(self._plan.classes))
        known = labels_of(fold, self._plan, self._target())
        self._openings.append({"opener": "scorer", "count": len(known)})
        rows, labels = list(known), list(known.values())
        test, posteriors = [fold.test[row] for row in rows], posteriors[rows]
        self._folds[fold.index] = score(posteriors, labels, self._plan.classes)
        speakers = _by_speaker(test, posteriors, labels, len(self._plan.classes))
        more = self._more[fold.index] = {**self._measured(posteriors, labels), "speakers": speakers}
        if fold.index in self._oracle:
            more["oracle"] = self._oracle[fold.index]
        if embeddings is not None:
            more["clustering"] = clustering(embeddings[rows], labels)
        if pseudo is not None:
            more["pseudo_accuracy"] = sum(pseudo[row] == label for row, label in known.items()) / len(labels)
        return self._folds[fold.index]

    def describe(self, posteriors: NDArray[np.floating]) -> None:
        """In place of scores, where the target has no labels: what its posteriors say by themselves.

        Raises:
            SereError: B403.
        """
        check_posteriors(posteriors, len(self._plan.folds[0].test), len(self._plan.classes))
        self._evidence = evidence(posteriors, self._plan.classes)

    def pool(self, predictions: Sequence[Prediction]) -> list[str]:
        """Read the labels of all folds, and score with them what takes all scored utterances together.

        Between folds no label is kept, in memory or on the disk: what is scored in one fold is adapted to in the next.

        Args:
            predictions: of all folds, none of which is left to train.

        Returns:
            The label of each prediction, "" for an unlabelled utterance.

        Raises:
            SereError: T505 if the labels, or the predictions, are not those of the plan.
        """
        target, known = self._target(), dict[tuple[int, str], int | None]()
        for fold in self._plan.folds:
            labels = labels_of(fold, self._plan, target)
            known |= {(fold.index, recording.id): labels.get(row) for row, recording in enumerate(fold.test)}
        if [(row.fold, row.id) for row in predictions] != sorted(known):
            raise error("T505", "predictions.csv does not hold the utterances of the folds", "start again with --fresh")
        found = [known[row.fold, row.id] for row in predictions]
        rows = [(row.posteriors, label) for row, label in zip(predictions, found, strict=True) if label is not None]
        self._pooled = self._measured(np.array([posterior for posterior, _ in rows]), [label for _, label in rows])
        return ["" if label is None else self._plan.classes[label] for label in found]

    @property
    def scored(self) -> bool:
        """Is any fold?"""
        return bool(self._folds)

    def of(self, fold: int) -> Scores:
        return self._folds[fold]

    def numbers(self, fold: int) -> dict[str, float]:
        """Every single number that was measured in a fold."""
        scores = {name: float(value) for name, value in vars(self._folds[fold]).items() if isinstance(value, (int, float))}
        return scores | self._further(fold)

    def _further(self, fold: int) -> dict[str, float]:
        found: Data = self._more[fold]
        metrics: Mapping[str, float] = found["metrics"]
        return {name: found["confidence"][name] for name in MEASURES} | dict(metrics)

    def _measured(self, posteriors: NDArray[np.floating], labels: Sequence[int]) -> dict[str, object]:
        return {"confidence": confidence(posteriors, labels), "metrics": self._measure(posteriors, labels)}

    def summary(self) -> Summary:
        """Over the folds scored so far, at least one."""
        scores = [scores for _, scores in sorted(self._folds.items())]
        return summarise(scores, self._plan.classes, [self._further(fold) for fold in sorted(self._folds)])

    def as_json(self) -> dict[str, object]:
        """What scores.json holds; also between folds, for a run that is interrupted."""
        if not self._plan.labelled:
            return {
                "classes": list(self._plan.classes),
                "complete": bool(self._evidence),
                "scored": False,
                "evidence": self._evidence,
                "folds": [],
                "openings": [],
            }
        whole: dict[str, Any] = asdict(self.summary()) if self._folds else {}
        openings = list(self._openings)
        if self._pooled:
            whole["pooled"] |= self._pooled
            openings.append({"opener": "scorer", "count": whole["pooled"]["n"]})
        return {
            "classes": list(self._plan.classes),
            "complete": len(self._folds) == len(self._plan.folds),
            "folds": [{"fold": index, **asdict(scores), **self._more[index]} for index, scores in sorted(self._folds.items())],
            **whole,
            "openings": openings,
        }


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
