"""What the report takes from records beyond the facts: manifests, histories, and the sample of embeddings."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: the file of a record, relative to it; see `sere_core.train.picture`
PICTURE = "embeddings/picture.npz"


def manifest(record: Path) -> Mapping[str, Any]:
    """The manifest of a record, or nothing where it cannot be read."""
    try:
        data = json.loads((record / "manifest.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def clustering(record: Path) -> list[dict[str, float]]:
    """By fold what the scorer said of the embeddings of the scored utterances; see `sere_core.score.clustering`."""
    try:
        folds = json.loads((record / "scores.json").read_bytes())["folds"]
        told = [{**(fold.get("clustering") or {}), "pseudo_accuracy": fold.get("pseudo_accuracy")} for fold in folds]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return [{str(name): float(value) for name, value in fold.items() if isinstance(value, (int, float))} for fold in told]


@dataclass(frozen=True)
class Curve:
    """One quantity over the epochs.

    Args:
        values: `[runs, epochs]`, a run being a fold of a seed; NaN after the end of a run that stopped early.
    """

    values: Floats

    @property
    def mean(self) -> Floats:
        """`[epochs]`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # an epoch without a value stays NaN
            return np.asarray(np.nanmean(self.values, axis=0))

    def band(self, low: float = 10, high: float = 90) -> tuple[Floats, Floats]:
        """Two percentiles over the runs, `[epochs]` each."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            found = np.nanpercentile(self.values, [low, high], axis=0)
        return found[0], found[1]


@dataclass(frozen=True)
class History:
    """Curves of one row (in one pair, or in all): `losses` and `diagnostics` by name."""

    losses: Mapping[str, Curve]
    diagnostics: Mapping[str, Curve]


def history(records: Iterable[Path]) -> History:
    """The curves of several runs of one row; what cannot be read is left out.

    The epochs of a recipe's stages stand one after the other; a stage that has no such term leaves a gap.
    """
    parts: dict[str, dict[str, list[dict[int, float]]]] = {"losses": {}, "diagnostics": {}}
    for record in records:
        for lines in _folds(record):
            for part, found in parts.items():
                mine: dict[str, dict[int, float]] = {}
                for position, line in enumerate(lines):
                    for name, value in line.get(part, {}).items():
                        if isinstance(value, (int, float)):
                            mine.setdefault(name, {})[position] = float(value)
                for name, values in mine.items():
                    found.setdefault(name, []).append(values)
    return History(**{part: {name: Curve(_matrix(runs)) for name, runs in found.items()} for part, found in parts.items()})


def _folds(record: Path) -> list[list[dict[str, Any]]]:
    """The lines of each fold, in order."""
    folds: dict[Any, list[dict[str, Any]]] = {}
    try:
        for text in (record / "history.jsonl").read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            folds.setdefault(line["fold"], []).append(line)
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return list(folds.values())


def _matrix(runs: list[dict[int, float]]) -> Floats:
    matrix = np.full((len(runs), 1 + max(max(run) for run in runs)), np.nan)
    for row, run in zip(matrix, runs, strict=True):
        row[list(run)] = list(run.values())
    return matrix


@dataclass(frozen=True)
class Sample:
    """The network's view of some utterances before and after training; see `sere_core.train.picture`.

    Args:
        initial, trained: embeddings `[N, D]`.
        stream: "labelled", "source" or "test", `[N]`.
        language, speaker: `[N]`.
        emotion: the position of the class: the label for "labelled", the network's answer for the others, `[N]`.
    """

    initial: Floats
    trained: Floats
    stream: NDArray[np.str_]
    language: NDArray[np.str_]
    speaker: NDArray[np.str_]
    emotion: NDArray[np.int64]


def sample(record: Path) -> Sample | None:
    """The sample of a record; None where there is none, or it is damaged."""
    try:
        with np.load(record / PICTURE, allow_pickle=False) as data:
            wide = {name: data[name].astype(np.float64) for name in ("initial", "trained")}
            words = {name: data[name].astype(str) for name in ("stream", "language", "speaker")}
            found = Sample(**wide, **words, emotion=data["emotion"].astype(np.int64))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    sound = all(np.isfinite(array).all() for array in wide.values()) and wide["initial"].shape == wide["trained"].shape
    return found if sound and len(found.emotion) == len(found.initial) >= 10 else None
