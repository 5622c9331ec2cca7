"""From features on disk to the streams of a fold: standardised, with their contours, on their encoder's path."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from sere_core.data.folds import rank
from sere_core.data.normalise import Normaliser
from sere_core.data.plan import Fold
from sere_core.features.store import FeatureSet
from sere_core.train.streams import Item, StreamSet
from sere_registry import Dynamics, Encoder, Recording

Array = NDArray[np.float32]


def speaker_index(fold: Fold) -> dict[tuple[str, str], int]:
    """(corpus, speaker) -> an index, in an order that tells nothing, of all speakers of the training streams; not of T_e's."""
    known = {(each.corpus, each.speaker) for each in (*fold.labelled, *fold.source, *fold.target) if each.speaker}
    return {name: index for index, name in enumerate(sorted(known, key=lambda name: rank("speakers", 0, "/".join(name))))}


@dataclass
class Preparer:
    """Makes the streams of each fold; what does not depend on the fold is made once.

    Args:
        features: the extracted features.
        encoders: the encoders by id (for their frame grids; nothing is trained here).
        dynamics: prepares contours.
        labelled_path: the encoder id of S_l.
        path_of: the encoder id of unlabelled speech in a language.
        mode: whose statistics standardise the features.
        setting: inductive or transductive.
        languages: that are spoken; their positions are what batches carry.
    """

    features: FeatureSet
    encoders: Mapping[str, Encoder]
    dynamics: Dynamics
    labelled_path: str
    path_of: Callable[[str], str]
    mode: Literal["none", "corpus", "speaker"]
    setting: Literal["inductive", "transductive"]
    languages: tuple[str, ...] = ()
    statements: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._salt = secrets.token_bytes(16)  # of this process: no plugin can tell a name by hashing a corpus's names
        self.names: dict[str, str] = {}  # what an unlabelled item is called -> the recording, for messages to the user
        self._means: dict[tuple[str, str], Array] = {}
        self._static: dict[tuple[str, str], torch.Tensor] = {}

    def streams(self, fold: Fold) -> dict[str, StreamSet]:
        """The streams `labelled`, `source`, `target` and `test` of the fold.  Only `labelled` has labels."""
        members: dict[str, tuple[str, Sequence[Recording]]] = {"labelled": (self.labelled_path, fold.labelled)}
        for name, recordings in (("source", fold.source), ("target", fold.target), ("test", fold.test)):
            if recordings:
                members[name] = (self.path_of(recordings[0].language), recordings)
        normalisers = {
            path: self._fit(path, members) for path in dict.fromkeys(path for path, _ in members.values()) if self.encoders[path].normalise
        }
        made: dict[str, StreamSet] = {}
        speakers = speaker_index(fold)
        known: dict[tuple[str, str], tuple[torch.Tensor, torch.Tensor]] = {}  # streams share recordings: each is normalised once
        for name, (path, members_here) in members.items():
            encoder = self.encoders[path]
            call = (lambda recording: recording.key) if name == "labelled" else self._opaque
            items = tuple(
                replace(
                    self._item(call(recording), recording, path, normalisers.get(path), known),
                    language=self.languages.index(recording.language) if self.languages else 0,
                    speaker=-1 if name == "test" else speakers.get((recording.corpus, recording.speaker), -1),
                )
                for recording in members_here
            )
            labels = torch.tensor(fold.labels, dtype=torch.long) if name == "labelled" else None
            made[name] = StreamSet(name, path, items, encoder.rate, labels, domain=int(name in ("target", "test")))
        return made

    def _fit(self, path: str, members: Mapping[str, tuple[str, Sequence[Recording]]]) -> Normaliser:
        def means(*names: str) -> list[tuple[Recording, Array]]:
            """The streams on this path; S_u lends the labelled path its statistics even where it takes another itself."""
            lent = {"source"} if path == self.labelled_path and self.mode != "none" else set()
            return [
                (r, self._mean(r, path))
                for name in names
                if name in members and (members[name][0] == path or name in lent)
                for r in members[name][1]
            ]

        normaliser = Normaliser.fit(
            self.mode, source=means("labelled", "source"), target_train=means("target"), test=means("test"), setting=self.setting
        )
        statement = f"{path}: {normaliser.statement}" if len(self.encoders) > 1 else normaliser.statement
        if statement not in self.statements:
            self.statements.append(statement)
        return normaliser

    def _mean(self, recording: Recording, path: str) -> Array:
        key = (recording.key, path)
        if key not in self._means:
            self._means[key] = self.features.frames(recording, path).mean(axis=0, dtype=np.float64).astype(np.float32)
        return self._means[key]

    def _opaque(self, recording: Recording) -> str:
        """A name that tells nothing: file names tell the emotion."""
        name = hashlib.blake2b(recording.key.encode(), key=self._salt, digest_size=12).hexdigest()
        self.names[name] = recording.key
        return name

    def _item(
        self,
        name: str,
        recording: Recording,
        path: str,
        normaliser: Normaliser | None,
        known: dict[tuple[str, str], tuple[torch.Tensor, torch.Tensor]],
    ) -> Item:
        key = (recording.key, path)
        if key not in known:
            frames = self.features.frames(recording, path)
            if normaliser is not None:
                frames = normaliser.apply(recording, frames)
            values = torch.from_numpy(np.ascontiguousarray(frames, dtype=np.float32))
            known[key] = values, values.mean(dim=0)
        values, mean = known[key]
        if key not in self._static:
            static = (
                self.dynamics.prepare(self.features.contours(recording, path)) if self.dynamics.contours else np.zeros((len(values), 0))
            )
            self._static[key] = torch.from_numpy(np.ascontiguousarray(static, dtype=np.float32))
        return Item(name, values, self._static[key], mean)
