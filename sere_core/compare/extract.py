"""From the folder of one finished record to its facts: every file is checked against `done` before anything is taken from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sere_core.compare.facts import RunFacts
from sere_core.score.records import RECORD_FILES
from sere_registry.errors import error

if TYPE_CHECKING:
    from sere_core.compare.evidence import Conditions

_HINT = "take its folder away, and the next `sere compare` makes it again"

#: in timing.json, beside seconds by phase
_MEMORY = "peak_mib"


def extract(folder: Path, job: str, conditions: Conditions | None = None) -> RunFacts:
    """The facts of the record in `folder`.

    Args:
        folder: of the record; `done` is there.
        job: the record's name, which its manifest must confirm.
        conditions: are told of the record too, while its files are in memory.

    Raises:
        SereError: T505 if a file is missing, damaged or was changed afterwards, or the record is of another job.
    """
    contents = _verified(folder, job)
    try:
        manifest, scores = json.loads(contents["manifest.json"]), json.loads(contents["scores.json"])
        if manifest["job"] != job:
            raise ValueError(f"it is the record of job {manifest['job']}")
        if not scores["complete"]:
            raise ValueError("not all folds are scored")
        facts = RunFacts(job=job, path=folder, **_from_manifest(manifest), **_from_scores(scores), **_from_timing(folder))
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        said = str(cause) if isinstance(cause, ValueError) else repr(cause)
        raise error("T505", f"records/{job} cannot be used: {said}", _HINT) from cause
    if conditions is not None:
        conditions.put(job, contents, manifest)
    return facts


def _verified(folder: Path, job: str) -> dict[str, bytes]:
    """The contents of the record's files, which are those that `done` vouches for."""
    here = f"{folder}/"  # string paths: this is done for thousands of records
    try:
        with open(f"{here}done", "rb") as file:
            vouched: Mapping[str, str] = json.loads(file.read())["sha256"]
        contents = {}
        for name in RECORD_FILES:
            with open(here + name, "rb") as file:
                contents[name] = file.read()
            if hashlib.sha256(contents[name]).hexdigest() != vouched.get(name):
                raise error("T505", f"records/{job}/{name} was changed after the run was finished", _HINT)
    except OSError as cause:
        name = Path(cause.filename or job).name
        raise error("T505", f"records/{job}/{name} cannot be read: {cause.strerror or cause}", _HINT) from cause
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        raise error("T505", f"records/{job}/done is damaged: {cause!r}", _HINT) from cause
    return contents


def _from_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    notes = manifest["notes"]
    trained = (manifest.get("parameters") or {}).get("trained")
    return {
        "protocol": str(manifest["protocol"]),
        "selection": str(manifest["selection"]),
        "evidence": str(manifest["evidence"]),
        "digests": dict(_flat(manifest["digests"])),
        "warnings": tuple(map(str, notes.get("warnings", ()))),
        "parameters": None if trained is None else int(trained),
    }


def _flat(digests: Mapping[str, Any]) -> list[tuple[str, str]]:
    """{"folds": a, "corpora": {"x": b}} -> folds: a, corpora.x: b."""
    found = []
    for name, value in digests.items():
        found += [(f"{name}.{key}", str(each)) for key, each in value.items()] if isinstance(value, Mapping) else [(name, str(value))]
    return found


def _from_scores(scores: Mapping[str, Any]) -> dict[str, Any]:
    classes, folds = tuple(map(str, scores["classes"])), scores["folds"]
    size = len(classes)
    counted = [(each, int(fold["fold"])) for fold in folds for each in fold.get("speakers") or ()]
    openings: dict[str, int] = {}
    for each in scores["openings"]:
        openings[str(each["opener"])] = openings.get(str(each["opener"]), 0) + int(each["count"])
    return {
        "classes": classes,
        "confusion": _counts([fold["confusion"] for fold in folds], size),
        "speakers": tuple(str(each["speaker"]) for each, _ in counted),
        "genders": tuple(each.get("gender") for each, _ in counted),
        "speaker_folds": tuple(fold for _, fold in counted),
        "by_speaker": _counts([each["confusion"] for each, _ in counted], size) if counted else np.zeros((0, 0, 0), dtype=np.int64),
        "openings": openings,
    }


def _counts(lists: list[Any], size: int) -> Any:
    counts = np.array(lists, dtype=np.int64)
    if counts.shape != (len(lists), size, size) or not lists or counts.min() < 0:
        raise ValueError(f"scores.json holds no confusion matrices of {size} classes")
    return counts


def _from_timing(folder: Path) -> dict[str, Any]:
    """What it cost; `done` does not vouch for it, and nothing but the table of costs reads it."""
    try:
        with open(f"{folder}/timing.json", "rb") as file:
            timing = json.loads(file.read())
        seconds = {str(name): float(value) for name, value in timing.items() if not str(name).startswith("peak")}
        peak = timing.get(_MEMORY)
        return {"seconds": seconds, "peak_mib": None if peak is None else float(peak)}
    except (OSError, ValueError, TypeError, AttributeError):
        return {"seconds": {}, "peak_mib": None}
