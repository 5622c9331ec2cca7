"""Whose statistics standardise a piece: a speaker's own, a group's that sounds like one speaker, or the target corpus's."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sere_core.data.normalise import Statistics
from sere_core.predict.inputs import How, Source
from sere_registry.errors import counted

if TYPE_CHECKING:
    from sere_core.model import Clip, Model

#: speakers that grouping looks for, at most; pieces that it takes in, at most (its memory grows with the square)
_GROUPS, _LARGEST = 12, 4000
#: pieces that a group needs: of fewer, the deviation is chance
_LEAST = 4
#: groups that are told apart worse than this (mean silhouette) may be emotions or rooms as well
_CLEAR = 0.25


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
        by_speaker = model.normalisation == "speaker"
        named = {source.speaker for source in sources} - {""}
        self._model, self.notes = model, list[str]()
        self._groups = by_speaker and how == "group"
        self._names = by_speaker and how in ("auto", "column")
        self.looks_ahead = self._groups or (self._names and not named <= set(model.speakers))
        self._own: dict[tuple[str, str], Statistics | None] = {}
        self._group_of: dict[int, str] = {}
        if how in ("column", "group") and not by_speaker:
            self.notes.append(f"the model was trained with normalisation '{model.normalisation}': speakers change nothing")
        stored, spoken = named & set(model.speakers), sum(bool(source.speaker) for source in sources)
        if self._names and how == "column" and (spoken < len(sources) or not stored):
            what = f"a speaker is named for {spoken} of {counted(len(sources), 'input')}"
            self.notes.append(f"{what} ({counted(len(named), 'speaker')}, {len(stored)} of them stored in the model)")
        if self._names and not named:
            what = "the model was trained by speaker, and no speakers are known here: the target corpus's statistics are used"
            pattern = shlex.quote(model.speaker_in_path or "parent")
            where = "takes them from paths, as the training did" if model.speaker_in_path else "takes folders for speakers"
            self.notes.append(f"{what} (`--speakers {pattern}` {where})")

    def look(self, clips: Iterable[tuple[Source, Clip | None]]) -> None:
        """See all pieces once, in order; None stands for one that cannot be used."""
        found: dict[tuple[str, str], list[Clip]] = defaultdict(list)
        means: dict[str, dict[int, NDArray[np.float64]]] = defaultdict(dict)
        for index, (piece, clip) in enumerate(clips):
            if clip is None:
                continue
            light = replace(clip, frames=clip.frames[:0].copy(), static=clip.static[:0].copy())  # statistics read the mean only
            if self._groups:
                means[clip.path][index] = light.mean.astype(np.float64)
                found["", clip.path].append(light)
            elif piece.speaker:
                found[piece.speaker, clip.path].append(light)
        if self._groups:
            found = {
                (name, path): [found["", path][place] for place in places]
                for path, points in means.items()
                for name, places in self._find_groups(path, points).items()
            }
        self._own = {key: self._model.statistics(of) for key, of in found.items()}

    def of(self, index: int, piece: Source, clip: Clip) -> tuple[str, Statistics | None]:
        """The name of the statistics, and what they are; None stands for the target corpus's."""
        if self._model.normalisation == "none":
            return "none", None
        name = self._group_of.get(index) or (f"speaker {piece.speaker}" if self._names and piece.speaker else "")
        if self._names and (known := self._model.known(piece.speaker, clip.path)) is not None:
            return f"{name} (stored)", known
        own = self._own.get((name if self._groups else piece.speaker, clip.path))
        return (name, own) if own is not None else (f"corpus {self._model.target}", None)

    def _find_groups(self, path: str, points: dict[int, NDArray[np.float64]]) -> dict[str, list[int]]:
        """Name of a group -> places of its members among the points, which are one encoder's."""
        if not 2 * _LEAST <= len(points) <= _LARGEST:
            self.notes.append(f"{len(points)} pieces cannot be grouped by speaker (from {2 * _LEAST} to {_LARGEST} can)")
            return {}
        labels, score = grouped(np.stack(list(points.values())))
        first, indices, found = len(set(self._group_of.values())) + 1, list(points), dict[str, list[int]]()
        for number, label in enumerate(np.unique(labels[labels >= 0])):
            found[f"group {first + number}"] = members = np.flatnonzero(labels == label).tolist()
            self._group_of |= {indices[each]: f"group {first + number}" for each in members}
        if not found:
            self.notes.append(f"no two groups of at least {_LEAST} pieces are told apart by sound")
            return {}
        sure = "clear" if score > _CLEAR else "weak: the groups may be emotions or rooms as well as speakers"
        self.notes.append(f"{len(found)} groups found by sound, silhouette {score:.2f} ({sure})")
        return found


def grouped(points: NDArray[np.float64]) -> tuple[NDArray[np.int64], float]:
    """Points `[N, F]` in the number of clusters that has the best silhouette: label of each, and that silhouette.

    Groups are clusters of at least `_LEAST` points, of which there must be two; odd points beside them have the label -1, and count
    as a silhouette of 0, so that none is better for what it leaves out.
    """
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.decomposition import PCA
    from sklearn.metrics import silhouette_score

    points = (points - points.mean(axis=0)) / np.maximum(points.std(axis=0), 1e-9)
    points = PCA(min(20, *points.shape), svd_solver="full").fit_transform(points)
    best, most = np.full(len(points), -1), 0.0
    for k in range(2, min(_GROUPS, len(points) - 1) + 1):
        labels = AgglomerativeClustering(k).fit_predict(points)
        sizes = np.bincount(labels)
        inside = sizes[labels] >= _LEAST
        if (sizes >= _LEAST).sum() >= 2 and (score := silhouette_score(points[inside], labels[inside]) * inside.mean()) > most:
            best, most = np.where(inside, labels, -1), float(score)
    return best, most
