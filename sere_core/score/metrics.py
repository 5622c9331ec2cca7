"""UAR and its companions, for one fold and over folds; and whether embeddings cluster by emotion.

Counts are whole numbers and ratios are taken in float64, so that 2/3 is written as 2/3 is; the tests hold them against
scikit-learn.  Classes that do not occur among the labels are left out of every mean and named.  Tables and intervals of a
comparison take their UAR from here, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

from sere_registry.errors import error

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

#: the numbers that have a mean and a deviation over folds
MEASURES = ("uar", "war", "f1")
#: neighbours of an utterance that purity looks at
NEIGHBOURS = 5
#: decimals of what is summed over distances: beyond them it may differ with the number of threads, and records must not
DIGITS = 9
#: distances that are held at a time
_CELLS = 1 << 22


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
        majority: the WAR of always predicting the most frequent class; its UAR is 1 / (classes present).
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


@dataclass(frozen=True)
class Summary:
    """Scores over folds.

    Args:
        mean, std: of each of `MEASURES`, and of what else is measured by fold; std with n - 1, None for a single fold.
        values: by fold.
        pooled: the scores of the confusion matrix summed over folds; not the mean of the folds' scores.
    """

    mean: Mapping[str, float]
    std: Mapping[str, float | None]
    values: Mapping[str, tuple[float, ...]]
    pooled: Scores


def class_mean(parts: NDArray[np.number], wholes: NDArray[np.number]) -> Floats:
    """The mean over classes of parts / wholes, both `[..., C]`; of hits and utterances by true class it is the UAR.

    Classes whose whole is 0 are left out; where all are, it is NaN.  The sum is taken in extended precision, so that the
    order of the classes changes no bit.

    >>> class_mean(np.array([[3, 1], [0, 4]]), np.array([[4, 2], [0, 4]]))
    array([0.625, 1.   ])
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.where(wholes > 0, parts / wholes, 0.0)
        mean: Floats = ratios.sum(axis=-1, dtype=np.longdouble).astype(np.float64) / (wholes > 0).sum(axis=-1)
    return mean


def uar(confusion: NDArray[np.number]) -> Floats:
    """The unweighted average recall of counts `[..., C, C]` (rows true, columns predicted); NaN where nothing was scored."""
    return class_mean(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-1))


def score(posteriors: NDArray[np.floating], labels: Sequence[int], classes: Sequence[str]) -> Scores:
    """Score posteriors against labels; the class with the highest posterior (the first of equals) is the prediction.

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


def count(posteriors: NDArray[np.floating], labels: Sequence[int], classes: int) -> list[list[int]]:
    """The confusion matrix `[C, C]` of posteriors `[N, C]`: rows true, columns predicted."""
    cells = np.asarray(labels, dtype=np.int64) * classes + posteriors.argmax(axis=1)
    counts: list[list[int]] = np.bincount(cells, minlength=classes * classes).reshape(classes, classes).tolist()
    return counts


def check_posteriors(posteriors: NDArray[np.floating], n: int, classes: int) -> None:
    """Are these `[n, classes]` posteriors?

    Raises:
        SereError: B403.
    """
    hint = "`predict` of the method, or of a loss, must return one row per utterance that sums to 1 over the classes"
    if posteriors.shape != (n, classes):
        raise error("B403", f"posteriors of shape {list(posteriors.shape)}, not [{n}, {classes}]", hint)
    if not np.isfinite(posteriors).all():
        raise error("B403", "posteriors that are not finite", hint)
    if (posteriors < 0).any() or not np.allclose(posteriors.sum(axis=1, dtype=np.float64), 1.0, atol=1e-3):
        raise error("B403", "posteriors that are negative or do not sum to 1", hint)


def from_confusion(confusion: Sequence[Sequence[int]] | Counts, classes: Sequence[str]) -> Scores:
    """All scores, from counts (rows true, columns predicted)."""
    counts = np.asarray(confusion, dtype=np.int64)
    hits, support, predicted = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    n = int(support.sum())
    pairs = list(zip(hits.tolist(), support.tolist(), strict=True))
    return Scores(
        n=n,
        uar=float(uar(counts)),
        war=int(hits.sum()) / n,
        f1=float(class_mean(2 * hits, np.where(support > 0, support + predicted, 0))),
        recall=tuple(right / of if of else None for right, of in pairs),
        confusion=tuple(map(tuple, counts.tolist())),
        absent=tuple(name for name, (_, of) in zip(classes, pairs, strict=True) if not of),
        chance=1 / len(classes),
        majority=int(support.max()) / n,
    )


def summarise(folds: Sequence[Scores], classes: Sequence[str], more: Sequence[Mapping[str, float]] = ()) -> Summary:
    """Mean, deviation and values over folds, and the folds' confusion matrices summed.

    Every fold weighs the same in the means, however many utterances it has.  `more` are further numbers of each fold.
    """
    values = {name: tuple(float(getattr(fold, name)) for fold in folds) for name in MEASURES}
    values |= {name: tuple(each[name] for each in more) for name in (more[0] if more else ())}
    return Summary(
        mean={name: fmean(each) for name, each in values.items()},
        std={name: _deviation(each) for name, each in values.items()},
        values=values,
        pooled=from_confusion(np.sum([fold.confusion for fold in folds], axis=0), classes),
    )


def _deviation(values: Sequence[float]) -> float | None:
    """None of a single value, or where one is not known."""
    return stdev(values) if len(values) > 1 and np.isfinite(values).all() else None


def clustering(embeddings: NDArray[np.floating], labels: Sequence[int], k: int = NEIGHBOURS) -> dict[str, float | int | None]:
    """How well embeddings are clustered by label, in Euclidean distance; None where there are too few utterances.

    Args:
        embeddings: `[N, D]`; where one is not finite, everything is None.
        labels: `[N]`.
        k: neighbours; fewer where there are not so many others.

    Returns:
        silhouette: mean silhouette coefficient (Rousseeuw 1987), -1 to 1, 0 where the classes lie in each other.
        knn_purity: the mean share of an utterance's k nearest others that have its label.
        purity_chance: what `knn_purity` is expected to be if the embedding says nothing.
        k: neighbours looked at.

    >>> import numpy as np
    >>> clustering(np.array([[0.0], [0.1], [5.0], [5.1]]), [0, 0, 1, 1], k=1)
    {'silhouette': 0.979998, 'knn_purity': 1.0, 'purity_chance': 0.333333333, 'k': 1}
    """
    points = np.asarray(embeddings, dtype=np.float64)
    classes, given, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    n, k = len(given), min(k, len(given) - 1)
    if k < 1 or not np.isfinite(points).all():
        return {"silhouette": None, "knn_purity": None, "purity_chance": None, "k": 0}
    points = points - points.mean(axis=0)  # distances are differences of squares: the smaller these, the more digits are left
    members, squares = np.eye(len(classes))[given], np.einsum("nd,nd->n", points, points)
    sums, pure, step = np.empty((n, len(classes))), 0, max(1, _CELLS // n)
    for first in range(0, n, step):
        rows = np.arange(first, min(first + step, n))
        apart = np.sqrt(np.maximum(squares[rows, None] + squares - 2 * points[rows] @ points.T, 0.0))
        apart[rows - first, rows] = 0.0
        sums[rows] = apart @ members
        apart[rows - first, rows] = np.inf
        near = np.argpartition(apart, k - 1)[:, :k]
        pure += int((given[near] == given[rows, None]).sum())
    silhouette = None
    if 1 < len(classes) < n:
        own = sums[np.arange(n), given] / np.maximum(sizes[given] - 1, 1)
        other = np.where(members > 0, np.inf, sums / sizes).min(axis=1)
        widths = np.divide(other - own, np.maximum(own, other), out=np.zeros(n), where=np.maximum(own, other) > 0)
        silhouette = round(float(np.where(sizes[given] > 1, widths, 0.0).mean()), DIGITS)
    return {
        "silhouette": silhouette,
        "knn_purity": round(pure / (n * k), DIGITS),
        "purity_chance": round(float((sizes * (sizes - 1)).sum()) / (n * (n - 1)), DIGITS),
        "k": k,
    }
