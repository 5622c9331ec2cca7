"""Lexical normalisation (`task.by_text`): the mean of utterances that say the same is taken off.

In acted corpora everybody reads the same few sentences, and what is said moves a pretrained network's states more than how it is
said.  The last layer of the network tells texts apart, and emotions hardly, so that no transcript is needed:

    x_i   the mean over frames of utterance i, standardised; of one corpus, as far as it is trained on
    z_i   the first 32 principal components of the last layer's columns of x_i, each divided by the square root of its deviation
    K     the number of clusters of k-means on z whose mean silhouette is largest (Rousseeuw 1987); c_k their centres
    m_k   1 / (n_k + 5) sum_{i in cluster k} x_i

    x_i <- x_i - m_k(i),   k(i) = argmin_k ||z_i - c_k||,   unless z_i is farther from c_k than all that k was made of

and each of its frames likewise.  The last layer's columns, which tell the text, become 0, whatever was found: they are no evidence
of an emotion.

The clusters count as texts only if

    two random halves of the utterances, clustered each by itself, agree about them (stability, as of Lange et al. 2004): the mean
    adjusted Rand index over five divisions is at least 0.7 for up to four clusters, 0.35 for more, which free speech seldom reaches;
    and speakers repeat them: in a third of the utterances or more the speaker says a text again.  Who reads the same
    sentence again does so in another emotion; where every emotion has sentences of its own, each is read once.

Otherwise nothing is taken off; nor where speakers are unknown.

That texts, like speakers, are to be normalised is due to Mariooryad and Busso (Speech Communication 57, 2014), who have transcripts;
clusters in their place, and the values, are ours.  Assumption: the classes have about the same shares in each text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

if TYPE_CHECKING:
    from sklearn.cluster import KMeans

Array = NDArray[np.float64]
#: numbers of texts that are tried; each has at least `LEAST` utterances on average
NUMBERS = (2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 50, 64, 80, 100)
LEAST = 5
#: principal components, and utterances that the number of texts is chosen by, at most
COMPONENTS, SAMPLE = 32, 2000
#: agreement of halves that makes up to `FEW` clusters texts, and more; a strong axis of any kind splits into a few alike in both halves
FEW, STABLE, STABLE_MANY, HALVES = 4, 0.7, 0.35, 5
#: utterances for each text of a speaker, at least
REPEATED = 1.5
#: a text's mean counts as if so many utterances more said it, whose vectors are zero
SHRINKAGE = 5.0
#: what a model keeps of the texts
STORED = ("axes", "centres", "means", "reach")


@dataclass(frozen=True)
class Texts:
    """What is said in a corpus, as one encoder hears it.

    Args:
        columns: `[H]`, of the F columns of a vector those that tell the text.
        axes: `[H, d]`, of z.
        centres: c_k, `[K, d]`.
        means: m_k, `[K, F]`.
        reach: how far from its centre each text goes, `[K]`.
        why: what speaks against texts, where there are none.
    """

    columns: NDArray[np.int64]
    axes: Array
    centres: Array
    means: Array
    reach: Array
    why: str = ""

    @classmethod
    def find(cls, vectors: NDArray[np.floating], speakers: Sequence[str], networks: Sequence[tuple[int, int]]) -> Texts:
        """The texts of vectors `[n, F]`.

        Args:
            speakers: who says each; "" is unknown.
            networks: of each network in the vectors, how many hidden states and how wide; one with a single state tells no texts.

        >>> rows = np.random.default_rng(0).normal(size=(60, 16))
        >>> rows[:, 8:] += 9 * np.eye(8)[np.arange(60) % 3]
        >>> Texts.find(rows, ["f1"] * 60, [(2, 8)]).count, Texts.find(rows, [""] * 60, [(2, 8)]).why
        (3, "nobody's speaker is known")
        """
        rows = np.asarray(vectors, dtype=np.float64)
        columns = telling(networks)

        def nothing(why: str) -> Texts:
            return cls(columns, np.zeros((len(columns), 0)), np.zeros((0, 0)), np.zeros((0, rows.shape[1])), np.zeros(0), why)

        if not len(columns):
            return nothing("a single layer does not tell what is said")
        if not any(speakers):
            return nothing("nobody's speaker is known")
        axes = principal(rows[:, columns])
        z = rows[:, columns] @ axes
        centres = stable_centres(z)
        if not len(centres):
            return nothing("halves of the utterances do not agree about texts")
        distance, nearest = nearest_of(z, centres)
        named = [(who, text) for who, text in zip(speakers, nearest.tolist(), strict=True) if who]
        if len(named) < REPEATED * len(set(named)):
            return nothing("speakers do not repeat texts")
        members = [np.flatnonzero(nearest == number) for number in range(len(centres))]
        kept = [number for number, each in enumerate(members) if len(each) > 1]  # one utterance alone says nothing that others say
        means = np.stack([_shrunken_mean(rows[members[number]]) for number in kept])
        reach = np.array([1.0001 * distance[members[number]].max() for number in kept])
        return cls(columns, axes, centres[kept], means, reach)

    def widened(self, vectors: NDArray[np.floating], networks: Sequence[tuple[int, int]]) -> Texts:
        """The same texts where other columns follow those that tell them.

        Args:
            vectors: `[n, F']`, of which the first F columns are those that the texts were found in.
            networks: of all columns.
        """
        rows, columns = np.asarray(vectors, dtype=np.float64), telling(networks)
        axes = np.pad(self.axes, ((0, len(columns) - len(self.columns)), (0, 0)))
        if not self.count:
            return replace(self, columns=columns, axes=axes, means=np.zeros((0, rows.shape[1])))
        distance, nearest = nearest_of(rows[:, columns] @ axes, self.centres)
        nearest = np.where(distance <= self.reach[nearest], nearest, -1)
        means = np.stack([_shrunken_mean(rows[nearest == number]) for number in range(self.count)])
        return replace(self, columns=columns, axes=axes, means=means)

    @classmethod
    def stored(cls, parts: Mapping[str, NDArray[Any]], networks: Sequence[tuple[int, int]]) -> Texts:
        """From what a model keeps, `STORED`.

        Raises:
            ValueError: that is not how texts of these networks are stored.
        """
        columns = telling(networks)
        if set(parts) != set(STORED) or not all(each.dtype == np.float64 and np.isfinite(each).all() for each in parts.values()):
            raise ValueError(f"texts are made of {', '.join(STORED)}, finite and float64")
        found, width = cls(columns, **cast(Any, parts)), sum(states * wide for states, wide in networks)
        count, dim = len(found.reach), found.axes.shape[-1]
        shapes = {"axes": (len(columns), dim), "centres": (count, dim), "means": (count, width), "reach": (count,)}
        if wrong := [name for name, shape in shapes.items() if parts[name].shape != shape]:
            raise ValueError(f"the texts' {wrong[0]} have the shape {parts[wrong[0]].shape}, not {shapes[wrong[0]]}")
        return found

    def parts(self) -> dict[str, Array]:
        """What a model keeps of them."""
        return {name: getattr(self, name) for name in STORED}

    @property
    def count(self) -> int:
        """How many texts there are."""
        return len(self.centres)

    def said(self, vector: NDArray[np.floating]) -> Array:
        """What is to be taken off an utterance whose mean is this vector `[F]`: m of its text, or zeros."""
        if self.count:
            distance, nearest = nearest_of((vector[None, self.columns].astype(np.float64) @ self.axes), self.centres)
            if distance[0] <= self.reach[nearest[0]]:
                found: Array = self.means[nearest[0]]
                return found
        return np.zeros(len(vector))


def _shrunken_mean(rows: Array) -> Array:
    found: Array = rows.sum(axis=0) / (len(rows) + SHRINKAGE)
    return found


def telling(networks: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """The columns of each network's last state, where it has several; `networks` as in `Texts.find`.

    >>> telling([(3, 2), (1, 4), (2, 2)]).tolist()
    [4, 5, 12, 13]
    """
    columns: list[int] = []
    end = 0
    for states, width in networks:
        end += states * width
        columns += range(end - width, end) if states > 1 else []
    return np.array(columns, dtype=np.int64)


def nearest_of(z: Array, centres: Array) -> tuple[Array, NDArray[np.int64]]:
    """How far the nearest of centres `[K, d]` is from each of z `[n, d]`, and which it is; the same whatever else is in the batch."""
    distance = cdist(z, centres)
    return distance.min(axis=1), distance.argmin(axis=1)


def principal(rows: Array) -> Array:
    """The axes `[H, up to 32]` of rows `[n, H]`, each divided by the square root of the deviation along it."""
    _, deviations, axes = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    kept = [each for each in range(min(COMPONENTS, len(axes))) if deviations[each] > 1e-6 * deviations[0]]
    return np.asarray(axes[kept].T / np.sqrt(deviations[kept] / np.sqrt(len(rows))), dtype=np.float64)


def stable_centres(z: Array) -> Array:
    """The centres of the texts of rows `[n, d]`, `[K, d]`; none where no number of clusters is stable.

    >>> rows = np.random.default_rng(0).normal(size=(60, 8))
    >>> stable_centres(rows + 9 * np.eye(8)[np.arange(60) % 3]).shape, stable_centres(rows).shape
    ((3, 8), (0, 8))
    """
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    generator = np.random.default_rng(0)
    sample = z[np.sort(generator.permutation(len(z))[:SAMPLE])]
    distinct = len(np.unique(sample, axis=0))
    found = {number: _means(sample, number) for number in NUMBERS if number * LEAST <= distinct}
    if not found:
        return z[:0]
    best = max(found, key=lambda number: silhouette_score(sample, found[number].labels_))
    agreed = []
    for _ in range(HALVES):
        first, second = np.array_split(generator.permutation(len(sample)), 2)
        here, there = _means(sample[first], best), _means(sample[second], best)
        agreed.append(adjusted_rand_score(here.predict(sample[second]), there.labels_))
    stable = np.mean(agreed) >= (STABLE if best <= FEW else STABLE_MANY)
    return np.asarray(found[best].cluster_centers_) if stable else z[:0]


def _means(rows: Array, number: int) -> KMeans:
    from sklearn.cluster import KMeans

    return KMeans(number, n_init=10, random_state=0).fit(rows)
