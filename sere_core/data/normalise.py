"""Standardisation of frozen features, with statistics whose origin is stated.

The statistics are the mean and the standard deviation of *utterance means*, each utterance weighing the same however
long it is; they are applied to frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from sere_registry.utterances import Recording

K = TypeVar("K", bound=Hashable)
Mode = Literal["none", "corpus", "speaker"]
Vectors = Sequence[tuple[Recording, NDArray[np.floating]]]

#: a speaker's deviation counts as at least this share of its corpus's: two utterances may agree by chance
SPEAKER_FLOOR = 0.1
#: a corpus's deviation below this share of its mean's size is rounding, and the dimension is only centred
CONSTANT = 1e-6


@dataclass(frozen=True)
class Statistics:
    """Mean and divisor, each `[F]` float64."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]


@dataclass(frozen=True)
class Normaliser:
    """Standardises frames by the statistics of their corpus or speaker.

    Args:
        mode: "none", "corpus" or "speaker".
        corpora: corpus id -> statistics.
        speakers: (corpus id, speaker) -> statistics; only in mode "speaker".
        statement: which utterances gave which statistics, in a sentence for the record.
    """

    mode: Mode
    corpora: Mapping[str, Statistics]
    speakers: Mapping[tuple[str, str], Statistics]
    statement: str

    @classmethod
    def fit(
        cls, mode: Mode, source: Vectors = (), target_train: Vectors = (), test: Vectors = (), setting: str = "inductive"
    ) -> Normaliser:
        """Statistics for one encoder and one fold.

        "corpus": a corpus's statistics come from its utterances among `source` and `target_train`, never from `test`
        in the inductive setting.  "speaker": each speaker's own; those of a speaker who occurs in `test` only come from
        their unlabelled test utterances, as the statement then says.  Speakers of fewer than two utterances, and
        utterances without a speaker, get the statistics of their corpus.

        Args:
            source: S_l and S_u, with the mean over frames of each, `[F]`.
            target_train: T_u.
            test: T_e; may be T_u itself.
            setting: "inductive" or "transductive" (T_e counts as T_u).

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
        seen = _unique((*source, *target_train))
        corpora = {name: _corpus_statistics(vectors) for name, vectors in _grouped(seen, lambda each: each.corpus).items()}
        if mode == "corpus":
            return cls(mode, corpora, {}, _corpus_statement(source, target_train))
        speakers: dict[tuple[str, str], Statistics] = {}
        poor: set[tuple[str, str]] = set()
        known = {_speaker(each) for each, _ in seen}
        own = [(each, vector) for each, vector in _unique(test) if _speaker(each) not in known]
        for (corpus, speaker), vectors in _grouped((*seen, *own), _speaker).items():
            if speaker and len(vectors) > 1:
                speakers[corpus, speaker] = _speaker_statistics(vectors, corpora.get(corpus))
            else:
                poor.add((corpus, speaker))
        return cls(mode, corpora, speakers, _speaker_statement(source, target_train, test, own, poor))

    def apply(self, recording: Recording, frames: NDArray[np.floating]) -> NDArray[np.float32]:
        """Standardise the frames `[T, F]` of one recording; float32.

        Raises:
            KeyError: neither the speaker nor the corpus of the recording was fitted (a bug of the caller).
        """
        if self.mode == "none":
            return frames.astype(np.float32, copy=False)
        found = self.speakers.get(_speaker(recording)) or self.corpora[recording.corpus]
        return ((frames - found.mean) / found.std).astype(np.float32)


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


def _corpus_statistics(vectors: NDArray[np.float64]) -> Statistics:
    mean, std = vectors.mean(axis=0), vectors.std(axis=0)
    return Statistics(mean, np.where(std > CONSTANT * (1 + np.abs(mean)), std, 1.0))


def _speaker_statistics(vectors: NDArray[np.float64], corpus: Statistics | None) -> Statistics:
    if corpus is None:
        return _corpus_statistics(vectors)
    return Statistics(vectors.mean(axis=0), np.maximum(vectors.std(axis=0), SPEAKER_FLOOR * corpus.std))


def _count(vectors: Vectors) -> str:
    unique = _unique(vectors)
    speakers = {_speaker(each) for each, _ in unique if each.speaker}
    return f"{len(unique)} utterances, {len(speakers)} speakers"


def _corpus_statement(source: Vectors, target_train: Vectors) -> str:
    parts = [f"{name} ({_count(vectors)})" for name, vectors in (("the source, S_l and S_u", source), ("T_u", target_train)) if vectors]
    return f"corpus statistics of {' and of '.join(parts)}; T_e is standardised by those of T_u"


def _speaker_statement(source: Vectors, target_train: Vectors, test: Vectors, own: Vectors, poor: set[tuple[str, str]]) -> str:
    parts = [f"{name} ({_count(vectors)})" for name, vectors in (("the source, S_l and S_u", source), ("T_u", target_train)) if vectors]
    if own:
        parts.append(f"the test speakers' own unlabelled utterances in T_e ({_count(own)})")
    words = f"speaker statistics of {', of '.join(parts)}"
    if test and len(own) < len(_unique(test)):
        words += "; speakers who are also in T_u by their utterances there"
    if poor:
        words += f"; {len(poor)} speakers with fewer than two utterances (or no name) by those of their corpus"
    return words
