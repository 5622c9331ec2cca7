"""Which utterances to label: a cover of the clusters, drawn to where the model is unsure; no label is needed.

Uncertainty-weighted clustering (CLUE: Prabhu et al., ICCV 2021, arXiv 2010.08666, section 3.2): k-means over the
embeddings in which every utterance weighs as much as its predictive entropy, and of each cluster the utterance nearest
to its centre.  Entropy alone picks k times the same confusion, clusters alone pick what the model knows already.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def choose(embeddings: Floats, posteriors: Floats, k: int, *, labelled: NDArray[np.bool_] | None = None, seed: int = 0) -> list[int]:
    """The `k` utterances whose labels would help most, the heaviest cluster first.

    Args:
        embeddings: `[n, D]`, one for each utterance.
        posteriors: `[n, C]`, the model's.
        k: how many; all that are left where there are fewer.
        labelled: `[n]`, which utterances have a label already: they are not proposed again.
        seed: of k-means.

    >>> points = np.array([[0.0, 0.0], [0.1, 0.0], [5.0, 5.0], [5.1, 5.0], [9.0, 0.0]])
    >>> unsure = np.array([[0.5, 0.5], [0.9, 0.1], [0.5, 0.5], [0.9, 0.1], [0.6, 0.4]])
    >>> sorted(choose(points, unsure, 3))
    [0, 2, 4]
    """
    from sklearn.cluster import KMeans

    left = np.arange(len(embeddings)) if labelled is None else np.flatnonzero(~labelled)
    if len(left) <= k:
        return [int(each) for each in left]
    points, weights = np.asarray(embeddings, dtype=np.float64)[left], entropy(posteriors)[left]
    clusters = KMeans(k, n_init=10, random_state=seed).fit(points, sample_weight=weights)
    distances = np.linalg.norm(points - clusters.cluster_centers_[clusters.labels_], axis=1)
    heaviest = sorted(range(k), key=lambda each: -weights[clusters.labels_ == each].sum())
    chosen = []
    for cluster in heaviest:
        members = np.flatnonzero(clusters.labels_ == cluster)
        if len(members):  # k-means leaves a cluster empty where utterances are copies of each other
            chosen.append(int(left[members[distances[members].argmin()]]))
    rest = [int(each) for each in left[np.argsort(-weights, kind="stable")] if each not in chosen]
    return chosen + rest[: k - len(chosen)]


def entropy(posteriors: Floats) -> NDArray[np.float64]:
    """Predictive entropy `[n]` in nats, never quite 0: a cluster of sure utterances weighs something, too.

    >>> entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).round(3).tolist()
    [0.693, 0.0]
    """
    from scipy.stats import entropy as shannon

    found: NDArray[np.float64] = shannon(np.asarray(posteriors, dtype=np.float64), axis=1)
    return np.maximum(found, 1e-6)
