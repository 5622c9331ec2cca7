"""A planned task: who is labelled, adapted to and scored in every fold; and its file, folds.json."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from sere_registry.files import write_atomically
from sere_registry.utterances import Recording


@dataclass(frozen=True)
class Fold:
    """One training and what it is scored on.  The order within each stream is random and tells nothing of the emotion.

    Args:
        index: from 0.
        labelled: S_l.
        labels: the positions in `TaskPlan.classes` of S_l's emotions.
        source: S_u, the rest of the source; empty if all of it is labelled.
        target: T_u.
        test: T_e; the very same recordings as T_u in the transductive setting.
        validation, validation_labels: labelled source utterances for the choice of an epoch or of settings, in neither S_l nor S_u;
            empty unless `task.validation` asks for them.
    """

    index: int
    labelled: tuple[Recording, ...]
    labels: tuple[int, ...]
    source: tuple[Recording, ...]
    target: tuple[Recording, ...]
    test: tuple[Recording, ...]
    validation: tuple[Recording, ...] = ()
    validation_labels: tuple[int, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Ids by stream; of labels only those of S_l and of what is held out of the source."""
        held = {recording.id: label for recording, label in zip(self.validation, self.validation_labels, strict=True)}
        return {
            "index": self.index,
            "labelled": {recording.id: label for recording, label in zip(self.labelled, self.labels, strict=True)},
            "source": sorted(recording.id for recording in self.source),
            "target": sorted(recording.id for recording in self.target),
            "test": sorted(recording.id for recording in self.test),
            **({"validation": held} if held else {}),
        }


@dataclass(frozen=True)
class TaskPlan:
    """The whole task.

    Args:
        classes: in the order of the labels and of posteriors.
        folds: one training each.
        label_digest: of the labels of every target utterance, which the plan does not hold; see `sere_core.data.labels`.
        protocol: the row's name, e.g. "emodb>emovo 5-shot inductive 5 folds speaker-disjoint norm=corpus (test
            utterances not read)": what is read of those who are scored stands in it.
        warnings: what may make the scores look better than they are, or noisier.
        notes: what a reader should know: classes dropped, sentences shared.
        source, target: the ids of the corpora.
        seed: of the draws.
        setting: "inductive" or "transductive"; the latter wherever the target has no labels at all.
        uses_target_labels: True for the in-corpus ceiling, whose S_l is of the target, and where an oracle chooses epochs.
        labelled, unlabelled: how many utterances of the target have a label, and how many have none; the former are scored, all
            are adapted to and predicted.
    """

    classes: tuple[str, ...]
    folds: tuple[Fold, ...]
    label_digest: str
    protocol: str
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    source: str
    target: str
    seed: int
    setting: Literal["inductive", "transductive"]
    uses_target_labels: bool
    labelled: int
    unlabelled: int

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the classes and of every fold's ids and visible labels: two rows with the same digest had the same folds."""
        content = {"classes": self.classes, "folds": [fold.as_json() for fold in self.folds]}
        return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def as_json(self) -> dict[str, object]:
        """Plain data; of the target's labels the digest."""
        return {
            "protocol": self.protocol,
            "source": self.source,
            "target": self.target,
            "setting": self.setting,
            "labelled": self.labelled,
            "unlabelled": self.unlabelled,
            "uses_target_labels": self.uses_target_labels,
            "seed": self.seed,
            "classes": list(self.classes),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "label_digest": self.label_digest,
            "sha256": self.digest,
            "folds": [fold.as_json() for fold in self.folds],
        }

    def write(self, folder: Path) -> Path:
        """Write `folds.json` into `folder` and return its path.

        Raises:
            SereError: X704 or X705 if it cannot be written.
        """
        path = folder / "folds.json"
        write_atomically(path, json.dumps(self.as_json(), indent=1, ensure_ascii=False).encode() + b"\n")
        return path
