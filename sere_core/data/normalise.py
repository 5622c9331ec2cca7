"""Standardisation of frozen features, with statistics whose origin is stated.

The statistics are the mean and the standard deviation of *utterance means*, each utterance weighing the same however
long it is; they are applied to frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from sere_core.data.leakage import FEW
from sere_core.data.texts import Texts
from sere_registry.errors import counted
from sere_registry.utterances import Recording

K = TypeVar("K", bound=Hashable)
Mode = Literal["none", "corpus", "speaker"]
Vectors = Sequence[tuple[Recording, NDArray[np.floating]]]
#: mean and divisor, each `[F]`
Statistics = tuple[NDArray[np.float64], NDArray[np.float64]]

#: a speaker's deviation counts as at least this share of its corpus's: two utterances may agree by chance
SPEAKER_FLOOR = 0.1
#: a corpus's deviation below this share of its mean's size is rounding, and the dimension is only centred
CONSTANT = 1e-6


@dataclass(frozen=True)
class Normaliser:
    """Standardises frames by the statistics of their speaker or corpus.

    Args:
        mode: "none", "corpus" or "speaker".
        corpora: corpus id -> statistics.
        speakers: (corpus id, speaker) -> statistics; only in mode "speaker".
        statement: which utterances gave which statistics, in a sentence for the record.
        texts: corpus id -> what is said there, and is taken off; none without lexical normalisation.
    """

    mode: Mode
    corpora: Mapping[str, Statistics]
    speakers: Mapping[tuple[str, str], Statistics]
    statement: str
    texts: Mapping[str, Texts] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        mode: Mode,
        source: Vectors = (),
        target_train: Vectors = (),
        test: Vectors = (),
        setting: str = "inductive",
        taught: Vectors = (),
        shrinkage: float = 0.0,
    ) -> Normaliser:
        """Statistics for one encoder and one fold.

        "corpus": a corpus's statistics come from its utterances among `source` and `target_train`, never from `test`
        in the inductive setting; of a target of fewer than `FEW` the deviation is the source's.  "speaker": each speaker's own;
        those of a speaker who occurs in `test` only come from their unlabelled test utterances, as the statement then says.
        Speakers of fewer than two utterances (without shrinkage), and utterances without a speaker, get the statistics of
        their corpus.

        Args:
            source: S_l and S_u, with the mean over frames of each, `[F]`.
            target_train: T_u.
            test: T_e; may be T_u itself.
            taught: utterances of the target that come with a label.
            setting: "inductive" or "transductive" (T_e counts as T_u).
            shrinkage: see `speaker_statistics`.

        >>> from pathlib import Path
        >>> one, two = (Recording(id, Path(id), "emovo", "it", "f1") for id in "ab")
        >>> fitted = Normaliser.fit("corpus", target_train=[(one, np.array([1.0])), (two, np.array([3.0]))])
        >>> fitted.apply(two, np.array([[3.0], [5.0]]))
        array([[1.],
               [3.]], dtype=float32)
        """
        if mode == "none":
            return cls(mode, {}, {}, "features are not standardised")
        if setting == "transductive":
            target_train, test = (*target_train, *test), ()
        seen = _unique((*source, *target_train, *taught))
        origins = {"the source, S_l and S_u": source, "T_u": target_train, "the target labels": taught}
        by_corpus = _grouped(seen, lambda each: each.corpus)
        corpora = {name: _statistics(vectors) for name, vectors in by_corpus.items()}
        spread = next((corpora[each.corpus][1] for each, _ in source), None)
        few = [name for name, vectors in by_corpus.items() if len(vectors) < FEW and name not in {each.corpus for each, _ in source}]
        if few and spread is not None:
            corpora |= {name: (corpora[name][0], spread) for name in few}
        borrowed = "; of a corpus of few utterances the deviation is the source's" if few and spread is not None else ""
        if mode == "corpus":
            statement = f"corpus statistics of {' and of '.join(_listed(origins))}; T_e is standardised by those of T_u{borrowed}"
            return cls(mode, corpora, {}, statement)
        known = {_speaker(each) for each, _ in seen}
        tested = _unique(test)
        own = [(each, vector) for each, vector in tested if _speaker(each) not in known]
        groups = _grouped((*seen, *own), _speaker)
        least = 1 if shrinkage else 2
        rich = {name: vectors for name, vectors in groups.items() if name[1] and len(vectors) >= least}
        speakers = {name: speaker_statistics(vectors, corpora.get(name[0]), shrinkage) for name, vectors in rich.items()}
        parts = _listed({**origins, "the test speakers' own unlabelled utterances in T_e": own})
        statement = f"speaker statistics of {', of '.join(parts)}"
        if len(own) < len(tested):
            statement += "; speakers who are also in T_u by their utterances there"
        if shrinkage:
            statement += f"; each drawn to those of the corpus, which weigh as much as {shrinkage:g} utterances"
        if poor := len(groups) - len(rich):
            which = "no name" if shrinkage else "fewer than two utterances (or no name)"
            statement += f"; {poor} speakers with {which} by those of their corpus{borrowed}"
        return cls(mode, corpora, speakers, statement)

    def scaling(self, recording: Recording, mean: NDArray[np.floating]) -> NDArray[np.float64]:
        """What `apply` does to a recording whose frames have this mean `[F]`: see `scaling`.

        Raises:
            KeyError: see `apply`.
        """
        statistics = self.speakers.get(_speaker(recording)) or self.corpora[recording.corpus]
        return scaling(statistics, self.texts.get(recording.corpus), mean)

    def apply(self, recording: Recording, frames: NDArray[np.floating], mean: NDArray[np.floating] | None = None) -> NDArray[np.float32]:
        """Standardise the frames `[T, F]` of one recording, and take off what it says; float32.

        Args:
            mean: of the utterance's frames before, `[F]`, which tells its text; None where `frames` are all of them.

        Raises:
            KeyError: neither the speaker nor the corpus of the recording was fitted (a bug of the caller).
        """
        if self.mode == "none":
            return frames.astype(np.float32, copy=False)
        shift, factor = self.scaling(recording, frames.mean(axis=0) if mean is None else mean)
        found: NDArray[np.float32] = ((frames - shift) * factor).astype(np.float32)
        return found


def scaling(statistics: Statistics, texts: Texts | None, vector: NDArray[np.floating]) -> NDArray[np.float64]:
    """Shift and factor `[2, F]`: (x - shift) * factor is x standardised, and without what an utterance of this mean says.

    Args:
        vector: the mean of its frames before, `[F]`.
    """
    mean, divisor = statistics
    if texts is None:
        return np.stack([mean, 1 / divisor])
    factor = 1 / divisor
    factor[texts.columns] = 0
    return np.stack([mean + texts.said((vector - mean) / divisor) * divisor, factor])


def speaker_statistics(vectors: NDArray[np.float64], corpus: Statistics | None, shrinkage: float = 0.0) -> Statistics:
    """Of one speaker's utterance means `[n, F]`, beside those of the corpus; as `Normaliser.fit` makes them.

    With a shrinkage k, mean and variance are w * (the speaker's) + (1 - w) * (the corpus's), w = n / (n + k): the weight of the
    data in MAP adaptation, where k is the relevance factor (Reynolds et al. 2000, eq. 14).  The variance is weighted like the
    mean, without the spread between the two means that their eq. 13 adds.

    Args:
        vectors: at least two, or with a shrinkage at least one.
        corpus: None for a corpus that is not known otherwise: nothing is there to draw to.
        shrinkage: k, at least 0; 0 gives the speaker's own.
    """
    if corpus is None:
        return _statistics(vectors)
    mean, std = vectors.mean(axis=0), vectors.std(axis=0)
    if shrinkage:
        weight = len(vectors) / (len(vectors) + shrinkage)
        mean = weight * mean + (1 - weight) * corpus[0]
        std = np.sqrt(weight * std**2 + (1 - weight) * corpus[1] ** 2)
    return mean, np.maximum(std, SPEAKER_FLOOR * corpus[1])


def _speaker(recording: Recording) -> tuple[str, str]:
    return recording.corpus, recording.speaker


def _unique(vectors: Vectors) -> list[tuple[Recording, NDArray[np.floating]]]:
    """Each recording once, in the order of keys: the sums must not depend on the order of a stream."""
    return sorted({each.key: (each, vector) for each, vector in vectors}.values(), key=lambda pair: pair[0].key)


def _grouped(vectors: Vectors, key: Callable[[Recording], K]) -> dict[K, NDArray[np.float64]]:
    groups: dict[K, list[NDArray[np.floating]]] = defaultdict(list)
    for each, vector in vectors:
        groups[key(each)].append(vector)
    return {name: np.stack(group).astype(np.float64) for name, group in groups.items()}


def _statistics(vectors: NDArray[np.float64]) -> Statistics:
    """Of a corpus, or of a speaker of a corpus that is not known otherwise."""
    mean, std = vectors.mean(axis=0), vectors.std(axis=0)
    return mean, np.where(std > CONSTANT * (1 + np.abs(mean)), std, 1.0)


def _listed(origins: Mapping[str, Vectors]) -> list[str]:
    """Where statistics come from, with the numbers of utterances and speakers."""
    unique = {name: [each for each, _ in _unique(vectors)] for name, vectors in origins.items() if vectors}
    speakers = {name: {_speaker(each) for each in members if each.speaker} for name, members in unique.items()}
    counts = {name: (len(members), len(speakers[name])) for name, members in unique.items()}
    return [f"{name} ({counted(n, 'utterance')}, {counted(m, 'speaker')})" for name, (n, m) in counts.items()]
