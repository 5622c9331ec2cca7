"""Do the scored utterances cluster by emotion in the embedding?  Answered with the labels that scoring opens anyway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: neighbours of an utterance that purity looks at
NEIGHBOURS = 5
#: decimals that are kept: sums over distances may differ beyond them with the number of threads, and records must not
DIGITS = 9


def clustering(embeddings: NDArray[np.floating[Any]], labels: Sequence[int], k: int = NEIGHBOURS) -> dict[str, float | int | None]:
    """How well embeddings are clustered by label, in Euclidean distance; what a handful of utterances cannot tell is None.

    Args:
        embeddings: `[N, D]`; where one is not finite, nothing can be told.
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
    import numpy as np
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import NearestNeighbors

    points, given = np.asarray(embeddings, dtype=np.float64), np.asarray(labels)
    n, k = len(given), min(k, len(given) - 1)
    if k < 1 or not np.isfinite(points).all():
        return {"silhouette": None, "knn_purity": None, "purity_chance": None, "k": 0}
    near = NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)
    counts = Counter(given.tolist())
    apart = float(silhouette_score(points, given)) if 1 < len(counts) < n else None
    return {
        "silhouette": None if apart is None else round(apart, DIGITS),
        "knn_purity": round(float((given[near] == given[:, None]).mean()), DIGITS),
        "purity_chance": round(sum(count * (count - 1) for count in counts.values()) / (n * (n - 1)), DIGITS),
        "k": k,
    }


def accuracy(answers: Sequence[int], labels: Sequence[int]) -> float:
    """The share of answers that are right.

    >>> accuracy([0, 1, 1, 2], [0, 1, 2, 2])
    0.75
    """
    return sum(answer == label for answer, label in zip(answers, labels, strict=True)) / len(labels)
