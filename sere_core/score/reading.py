"""The reading side of records: pure, and trusting nothing that `done` does not vouch for."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from sere_registry.errors import error

#: the files whose digests `done` holds
RECORD_FILES = ("config.yaml", "manifest.json", "folds.json", "history.jsonl", "predictions.csv", "scores.json")


@dataclass(frozen=True)
class Prediction:
    """One scored utterance: its id in the target corpus, its fold, the posteriors in the order of the classes, and the answer."""

    id: str
    fold: int
    posteriors: tuple[float, ...]
    prediction: str


def digest_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every record file."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in RECORD_FILES}


def read_verified(folder: Path) -> dict[str, bytes]:
    """The contents of a record's files, which are those whose digests its `done` holds.

    Raises:
        SereError: T505 if the run is not finished, or a file is missing, damaged or was changed afterwards.
    """
    try:
        done = dict(json.loads((folder / "done").read_bytes())["sha256"])
    except FileNotFoundError as cause:
        what = "is not finished" if any((folder / name).exists() for name in RECORD_FILES) else "holds no record"
        raise error("T505", f"{folder} {what}", "--resume finishes an unfinished run") from cause
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise error("T505", f"{folder / 'done'} is damaged: {cause}", "run again with --fresh") from cause
    contents = {}
    for name in RECORD_FILES:
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as cause:
            raise error("T505", f"{folder / name} is missing: {cause.strerror}", "run again with --fresh") from cause
        if hashlib.sha256(contents[name]).hexdigest() != done.get(name):
            raise error("T505", f"{folder / name} was changed after the run was finished", "run again with --fresh")
    return contents


def load_yaml(data: bytes) -> Any:
    """YAML by libyaml where it is there, ten times as fast."""
    return yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def format_predictions(rows: Iterable[Prediction], classes: Sequence[str]) -> bytes:
    """predictions.csv: `id, fold, <one column per class>, prediction`, sorted by fold and id; floats as their shortest exact decimal."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "fold", *classes, "prediction"])
    for row in sorted(rows, key=lambda row: (row.fold, row.id)):
        writer.writerow([row.id, row.fold, *map(repr, row.posteriors), row.prediction])
    return text.getvalue().encode()


def parse_predictions(path: Path) -> list[Prediction]:
    """The inverse of `format_predictions`.

    Raises:
        SereError: T505.
    """
    try:
        header, *lines = csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
        if header[:2] != ["id", "fold"] or header[-1] != "prediction" or any(len(line) != len(header) for line in lines):
            raise ValueError("not the columns of a predictions file")
        return [Prediction(line[0], int(line[1]), tuple(map(float, line[2:-1])), line[-1]) for line in lines]
    except (ValueError, OSError) as cause:
        raise error("T505", f"{path} is damaged: {cause}", "run again with --fresh") from cause


@dataclass(frozen=True)
class Record:
    """A finished run, read from its folder.

    Args:
        path: the folder.
        config: the resolved config.
        manifest: versions, components, digests, seeds, machine.
        folds: what `TaskPlan.as_json` gave.
        scores: what `Scorer.as_json` gave.
    """

    path: Path
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    folds: Mapping[str, Any]
    scores: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Record:
        """Read a record and check it against its `done`.  Nothing is written and no plugin imported.

        Raises:
            SereError: T505 if the run is not finished, or a file is missing, damaged or was changed afterwards.
        """
        contents = read_verified(folder)
        parts = {name: json.loads(contents[f"{name}.json"]) for name in ("manifest", "folds", "scores")}
        return cls(path=folder, config=load_yaml(contents["config.yaml"]), **parts)

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """The lines of history.jsonl."""
        return [json.loads(line) for line in (self.path / "history.jsonl").read_text(encoding="utf-8").splitlines()]

    @cached_property
    def predictions(self) -> list[Prediction]:
        """The rows of predictions.csv."""
        return parse_predictions(self.path / "predictions.csv")

    @cached_property
    def timing(self) -> dict[str, float]:
        """Seconds by name; empty where there is no timing.json, which `done` does not vouch for."""
        path = self.path / "timing.json"
        return json.loads(path.read_bytes()) if path.exists() else {}
