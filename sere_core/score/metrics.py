"""UAR and its companions, for one fold and over folds.

Counts are whole numbers and ratios are taken in float64, so that 2/3 is written as 2/3 is; the tests hold them against
scikit-learn.  Classes that do not occur among the labels are left out of every mean and named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from sere_registry.errors import error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: the numbers that have a mean and a deviation over folds
MEASURES = ("uar", "war", "f1")


@dataclass(frozen=True)
class Scores:
    """The scores of one set of utterances.  All ratios are in [0, 1].

    Args:
        n: how many utterances.
        uar: unweighted average recall, the mean of the recalls of the classes present.
        war: weighted average recall, which is accuracy.
        f1: macro F1 over the classes present.
        recall: by class; None for a class without utterances.
        confusion: rows true, columns predicted, counts.
        absent: the classes without utterances, which the means leave out.
        chance: 1/C, the expected UAR of guessing uniformly.
        majority: the WAR of always answering the most frequent class; its UAR is 1 / (classes present).
    """

    n: int
    uar: float
    war: float
    f1: float
    recall: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...]
    absent: tuple[str, ...]
    chance: float
    majority: float

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scores:
        """The inverse of `as_json`; further keys are ignored."""
        taken = {name: data[name] for name in cls.__dataclass_fields__}
        for name in ("recall", "absent"):
            taken[name] = tuple(taken[name])
        taken["confusion"] = tuple(tuple(row) for row in taken["confusion"])
        return cls(**taken)

    def measures(self) -> dict[str, float]:
        """The scalar scores: for hooks and tables."""
        return {name: getattr(self, name) for name in (*MEASURES, "chance", "majority")}


@dataclass(frozen=True)
class Summary:
    """Scores over folds.

    Args:
        mean, std: of each of `MEASURES` over folds; std with n - 1, None for a single fold.
        values: by fold.
        pooled: the scores of the confusion matrix summed over folds; not the mean of the folds' scores.
    """

    mean: Mapping[str, float]
    std: Mapping[str, float | None]
    values: Mapping[str, tuple[float, ...]]
    pooled: Scores

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        values = {name: list(each) for name, each in self.values.items()}
        return {"mean": dict(self.mean), "std": dict(self.std), "values": values, "pooled": self.pooled.as_json()}


def score(posteriors: NDArray[np.floating[Any]], labels: Sequence[int], classes: Sequence[str]) -> Scores:
    """Score posteriors against labels; the class with the highest posterior (the first of equals) is the answer.

    Args:
        posteriors: `[N, C]`, rows sum to 1.
        labels: `[N]`, positions in `classes`; N is at least 1.

    Raises:
        SereError: B403 if the posteriors are no posteriors: wrong shape, not finite, negative, or not summing to 1.
        ValueError: no utterances, or a label outside of `classes`.

    >>> import numpy as np
    >>> scores = score(np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), [0, 0, 1], ["anger", "fear"])
    >>> scores.uar, scores.war == 2 / 3, scores.confusion
    (0.75, True, ((1, 1), (0, 1)))
    """
    if not labels or not all(0 <= label < len(classes) for label in labels):
        raise ValueError("labels must be positions in `classes`, and at least one")
    check_posteriors(posteriors, len(labels), len(classes))
    return from_confusion(count(posteriors, labels, len(classes)), classes)


def count(posteriors: NDArray[np.floating[Any]], labels: Sequence[int], classes: int) -> list[list[int]]:
    """The confusion matrix `[C, C]` of posteriors `[N, C]`: rows true, columns answered."""
    import numpy as np

    cells = np.asarray(labels, dtype=np.int64) * classes + posteriors.argmax(axis=1)
    counts: list[list[int]] = np.bincount(cells, minlength=classes * classes).reshape(classes, classes).tolist()
    return counts


def check_posteriors(posteriors: NDArray[np.floating[Any]], n: int, classes: int) -> None:
    """Are these `[n, classes]` posteriors?

    Raises:
        SereError: B403.
    """
    import numpy as np

    hint = "`predict` of the method, or of a loss, must return one row per utterance that sums to 1 over the classes"
    if posteriors.shape != (n, classes):
        raise error("B403", f"posteriors of shape {list(posteriors.shape)}, not [{n}, {classes}]", hint)
    if not np.isfinite(posteriors).all():
        raise error("B403", "posteriors that are not finite", hint)
    if (posteriors < 0).any() or not np.allclose(posteriors.sum(axis=1, dtype=np.float64), 1.0, atol=1e-3):
        raise error("B403", "posteriors that are negative or do not sum to 1", hint)


def from_confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> Scores:
    """All scores, from counts (rows true, columns predicted)."""
    size = range(len(classes))
    support = [sum(row) for row in confusion]
    answers = [sum(row[c] for row in confusion) for c in size]
    present = [c for c in size if support[c]]
    n = sum(support)
    recall = tuple(confusion[c][c] / support[c] if support[c] else None for c in size)
    return Scores(
        n=n,
        uar=fmean(confusion[c][c] / support[c] for c in present),
        war=sum(confusion[c][c] for c in size) / n,
        f1=fmean(2 * confusion[c][c] / (support[c] + answers[c]) for c in present),
        recall=recall,
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        absent=tuple(classes[c] for c in size if not support[c]),
        chance=1 / len(classes),
        majority=max(support) / n,
    )


def summarise(folds: Sequence[Scores], classes: Sequence[str]) -> Summary:
    """Mean, deviation and values over folds, and the folds' confusion matrices summed.

    Every fold weighs the same in the means, however many utterances it has.
    """
    values = {name: tuple(float(getattr(fold, name)) for fold in folds) for name in MEASURES}
    size = range(len(classes))
    summed = [[sum(fold.confusion[row][column] for fold in folds) for column in size] for row in size]
    return Summary(
        mean={name: math.fsum(each) / len(each) for name, each in values.items()},
        std={name: stdev(each) if len(each) > 1 else None for name, each in values.items()},
        values=values,
        pooled=from_confusion(summed, classes),
    )
