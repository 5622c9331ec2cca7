"""Whose statistics standardise a piece: a speaker's own, a group's that sounds like one speaker, or the target corpus's."""

from __future__ import annotations

import pickle
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from sere_core.data.normalise import Statistics, speaker_statistics
from sere_core.predict.inputs import Source
from sere_registry.errors import SereError
from sere_registry.files import write_atomically

if TYPE_CHECKING:
    from sere_core.model import Clip, Model

How = Literal["auto", "column", "group", "none"]
#: what was made of a piece, in order
Clips = Iterator["tuple[Source, Clip | SereError]"]

#: speakers that grouping looks for, at most; pieces that it takes in, at most (its memory grows with the square)
_GROUPS, _LARGEST = 12, 4000
#: pieces that a group needs: of fewer, the deviation is chance
_LEAST = 4


class Standardiser:
    """Chooses the statistics of each piece, as the model was trained: by speaker, by corpus, or not at all.

    Args:
        model: whose.
        how: "column": the speakers that the input names; those whom the model has met by what is stored, others by all
            their pieces here.  "group": pieces that sound alike count as one speaker's (agglomerative clustering of their
            features, as many groups as give the best silhouette).  "none": always the target corpus's.  "auto":
            "column" where the input names speakers, else "none".
        sources: all that will be predicted.

    Attributes:
        looks_ahead: must all pieces be seen before the first is predicted?
        notes: what the user should know.
    """

    def __init__(self, model: Model, how: How, sources: Sequence[Source]) -> None:
        self._model, self.notes = model, list[str]()
        self._own: dict[str, Statistics | None] = {}
        self._group: list[int] = []
        named = {source.speaker for source in sources} - {""}
        by_speaker = model.normalisation == "speaker"
        if how in ("column", "group") and not by_speaker:
            self.notes.append(f"the model was trained with normalisation '{model.normalisation}': speakers change nothing")
        self.groups = how == "group" and by_speaker
        self._wanted = named - set(model.speakers) if how in ("auto", "column") and by_speaker else set[str]()
        self._stored = how in ("auto", "column") and by_speaker
        self.looks_ahead = self.groups or bool(self._wanted)
        if by_speaker and not named and not self.groups:
            self.notes.append("the model was trained by speaker, and no speakers are known here: the target corpus's statistics are used")

    def look(self, clips: Clips) -> None:
        """See all pieces once, in order."""
        means: dict[str, list[Clip]] = defaultdict(list)
        every: list[np.ndarray] = []
        for piece, clip in clips:
            if self.groups:
                every.append(np.zeros(0) if isinstance(clip, SereError) else clip.mean)
            elif piece.speaker in self._wanted and not isinstance(clip, SereError):
                means[piece.speaker].append(_light(clip))
        self._own = {speaker: self._model.statistics(found) for speaker, found in means.items()}
        if self.groups:
            self._find_groups(every)

    def of(self, piece: Source, clip: Clip, position: int) -> tuple[str, Statistics | None]:
        """The name of the statistics, and what they are; None stands for the target corpus's."""
        if self._model.normalisation == "none":
            return "none", None
        if self.groups and self._group and self._group[position] >= 0:
            name = f"group {self._group[position] + 1}"
            return name, self._own[name]
        if self._stored and piece.speaker:
            if (known := self._model.known(piece.speaker, clip.path)) is not None:
                return f"speaker {piece.speaker} (stored)", known
            if (own := self._own.get(piece.speaker)) is not None:
                return f"speaker {piece.speaker}", own
        return f"corpus {self._model.target}", None

    def _find_groups(self, every: list[np.ndarray]) -> None:
        """Groups of pieces that sound alike; none where there are too few pieces, or too many."""
        rows = [row for row, mean in enumerate(every) if mean.size]
        if not 2 * _LEAST <= len(rows) <= _LARGEST:
            self.notes.append(f"{len(rows)} pieces cannot be grouped by speaker (from {2 * _LEAST} to {_LARGEST} can)")
            return
        from sklearn.cluster import AgglomerativeClustering
        from sklearn.decomposition import PCA
        from sklearn.metrics import silhouette_score

        points = np.stack([every[row] for row in rows]).astype(np.float64)
        points = (points - points.mean(axis=0)) / np.maximum(points.std(axis=0), 1e-9)
        points = PCA(min(20, *points.shape)).fit_transform(points)
        most = min(_GROUPS, len(rows) // _LEAST)
        tried = {k: AgglomerativeClustering(k).fit_predict(points) for k in range(2, most + 1)}
        scores = {k: float(silhouette_score(points, labels)) for k, labels in tried.items()}
        best = max(scores, key=lambda k: scores[k])
        labels = tried[best]
        self._group = [-1] * len(every)
        corpus = self._model.corpus_statistics()
        for group in range(best):
            members = np.flatnonzero(labels == group)
            if len(members) >= _LEAST:
                vectors = np.stack([every[rows[each]] for each in members]).astype(np.float64)
                self._own[f"group {group + 1}"] = speaker_statistics(vectors, corpus)
                for each in members:
                    self._group[rows[each]] = group
        sure = "clear" if scores[best] > 0.25 else "weak: the groups may be emotions or rooms as well as speakers"
        self.notes.append(f"{best} groups found by sound, silhouette {scores[best]:.2f} ({sure})")


def _light(clip: Clip) -> Clip:
    """A clip of which only the mean is left: that is all that statistics read."""
    return replace(clip, frames=clip.mean[None], static=clip.static[:0])


class Spool:
    """Clips on the disk between two passes over the pieces; what an interrupted call has put there is not made again.

    Args:
        folder: removed when the block ends well; None: a temporary one.
    """

    def __init__(self, folder: Path | None) -> None:
        self._temporary = folder is None
        self._folder = Path(tempfile.mkdtemp(prefix="sere-")) if folder is None else folder

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: object, *ignored: object) -> None:
        if kind is None or self._temporary:
            shutil.rmtree(self._folder, ignore_errors=True)

    def put(self, number: int, clip: Clip | SereError) -> None:
        """Keep what was made of a piece."""
        write_atomically(self._path(number), pickle.dumps(clip), sync=False)

    def get(self, number: int) -> Clip | SereError | None:
        """What was made of a piece; None if it was not, or is damaged."""
        try:
            found: Clip | SereError = pickle.loads(self._path(number).read_bytes())
            return found
        except (OSError, EOFError, pickle.UnpicklingError):
            return None

    def _path(self, number: int) -> Path:
        return self._folder / f"{number // 1000}" / f"{number % 1000}.pickle"
