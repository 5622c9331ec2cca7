"""Lexical normalisation: the mean of utterances that say the same is taken off.

In acted corpora everybody reads the same few sentences, and what is said moves a pretrained network's states more than how it is
said.  The last layer of the network tells texts apart, and emotions hardly, so that no transcript is needed:

    z_i   the first 32 principal components of the last layer's columns of x_i, each divided by the square root of its deviation
    K     the number of clusters of k-means on z whose mean silhouette is largest (Rousseeuw 1987); c_k their centres
    m_k   1 / (n_k + 5) sum_{i in cluster k} x_i

    x_i <- x_i - m_k(i),   k(i) = argmin_k ||z_i - c_k||,   unless z_i is farther from c_k than all that k was made of

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

import copy
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from torch import Tensor, nn

from sere_plugins.methods.base import Array, stream_vectors
from sere_registry import StageData
from sere_registry.guard import warn
from sere_registry.training import STREAMS

Rows = TypeVar("Rows", Array, Tensor)
Trace = dict[str, list[float]]
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


class Texts(nn.Module):
    """What is said in a stream: `axes` `[H, 32]` and `centres` `[100, 32]` of z, `means` `[100, F]`, how far each text reaches, `[100]`.

    Args:
        networks: of each network in the vectors, how many hidden states and how wide; one with a single state tells no texts.
    """

    axes: Tensor
    centres: Tensor
    means: Tensor
    reach: Tensor

    def __init__(self, networks: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.columns: list[int] = []
        self.why = ""
        end = 0
        for states, width in networks:
            end += states * width
            self.columns += range(end - width, end) if states > 1 else []
        shapes = {"axes": (len(self.columns), COMPONENTS), "centres": (max(NUMBERS), COMPONENTS), "means": (max(NUMBERS), end)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("reach", torch.full((max(NUMBERS),), -1.0))

    @property
    def count(self) -> int:
        """How many texts were found."""
        return int((self.reach >= 0).sum())

    def find(self, vectors: Array, speakers: Tensor) -> Array:
        """Find the texts of vectors `[n, F]` by speakers `[n]` (-1: unknown); the same vectors without them."""
        self.reach.fill_(-1)
        self.why = "nobody's speaker is known" if self.columns else "a single layer does not tell what is said"
        if not (speakers >= 0).any() or not self.columns:
            return vectors
        self.why = "halves of the utterances do not agree about texts"
        axes = principal(vectors[:, self.columns])
        self.axes.zero_()
        self.axes[:, : axes.shape[1]] = torch.as_tensor(axes)
        rows = torch.as_tensor(vectors)
        z = self._read(rows)
        centres = texts(z.numpy())
        if len(centres):
            self.centres[: len(centres)] = torch.as_tensor(centres)
            distance, nearest = nearest_of(z, self.centres[: len(centres)])
            named = torch.stack([speakers, nearest], dim=1)[speakers >= 0]
            repeated = len(named) >= REPEATED * len(np.unique(named.numpy(), axis=0))
            self.why = "" if repeated else "speakers do not repeat texts"
            for number in range(len(centres) if repeated else 0):
                members = nearest == number
                if members.sum() > 1:  # one utterance alone says nothing that others say
                    self.means[number] = rows[members].sum(dim=0) / (members.sum() + SHRINKAGE)
                    self.reach[number] = 1.0001 * distance[members].max()
        return np.asarray(self(rows), dtype=np.float64)

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors `[n, F]` without what they say, where that is one of the texts."""
        known = self.reach >= 0
        if not known.any() or not len(vectors):
            return vectors
        distance, nearest = nearest_of(self._read(vectors), self.centres[known])
        within = distance <= self.reach[known].to(vectors)[nearest]
        return vectors - within.unsqueeze(1) * self.means[known].to(vectors)[nearest]

    def untold(self, vectors: Rows) -> Rows:
        """Vectors `[n, F]` with zeros in the columns that tell the text: no evidence of an emotion."""
        kept = vectors.clone() if isinstance(vectors, Tensor) else vectors.copy()
        kept[:, self.columns] = 0
        return kept

    def _read(self, vectors: Tensor) -> Tensor:
        """z `[n, 32]`."""
        return vectors[:, self.columns] @ self.axes.to(vectors)


def nearest_of(z: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """How far the nearest of centres `[K, d]` is from each of z `[n, d]`, and which it is; the same whatever else is in the batch."""
    least = torch.cdist(z, centres.to(z), compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    return least.values, least.indices


def without_texts(of_target: Texts, data: StageData, labelled: Array) -> tuple[Array, Array, Array, Trace]:
    """S_l, S_u and T_u `[n, F]` without what they say; `source_texts` (of S_l and S_u together) and `target_texts`, how many there are.

    `of_target` then knows the texts of T_u, for whoever is predicted.
    """
    source, target = stream_vectors(data, ("source", "target"))
    named = {name: data.speakers(name).cpu() for name in STREAMS}
    of_source = copy.deepcopy(of_target)
    both = of_source.find(np.concatenate([labelled, source]), torch.cat([named["labelled"], named["source"]]))
    target = of_target.find(target, named["target"])
    for where, found in (("source", of_source), ("target", of_target)):
        if found.why:
            warn("texts", where, f"by_text: nothing is taken off the {where}: {found.why}")
    trace = {"source_texts": [float(of_source.count)], "target_texts": [float(of_target.count)]}
    return both[: len(labelled)], both[len(labelled) :], target, trace


def principal(rows: Array) -> Array:
    """The axes `[H, up to 32]` of rows `[n, H]`, each divided by the square root of the deviation along it."""
    _, deviations, axes = np.linalg.svd(rows - rows.mean(axis=0) if len(rows) else rows, full_matrices=False)
    kept = [each for each in range(min(COMPONENTS, len(axes))) if deviations[each] > 1e-6 * deviations[0]]
    return np.asarray(axes[kept].T / np.sqrt(deviations[kept] / np.sqrt(len(rows))), dtype=np.float64)


def texts(z: Array) -> Array:
    """The centres of the texts of rows `[n, d]`, `[K, d]`; none where no number of clusters is stable.

    >>> rows = np.random.default_rng(0).normal(size=(60, 8))
    >>> texts(rows + 9 * np.eye(8)[np.arange(60) % 3]).shape, texts(rows).shape
    ((3, 8), (0, 8))
    """
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
    return KMeans(number, n_init=10, random_state=0).fit(rows)
