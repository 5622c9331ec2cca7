"""From the folder of a comparison to its results; a record is checked against its `done` before anything is taken from it."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from pydantic import BaseModel, ValidationError

from sere_core.compare.facts import Counts, Results, RunFacts
from sere_core.compare.plan import ComparePlan, is_done, read_failure, read_timing, record_of
from sere_core.compare.proof import is_below, prove
from sere_core.config.nodes import leaves
from sere_core.score.records import load_yaml, read_verified
from sere_registry.errors import SereError, error

_HINT = "take its folder away, and the next `sere compare` makes it again"
#: of a config: what results do not depend on, as in the digest that names a job
_IGNORED = ("name", "plugins", "output", "hooks", "features.cache", "train.device", "train.threads", "train.checkpoint_every", "seed")
_SEED = re.compile(rb"(?m)^seed: .*\n")


class _Speaker(BaseModel):
    speaker: str
    gender: str | None = None
    confusion: list[list[int]]


class _Fold(BaseModel):
    fold: int
    confusion: list[list[int]]
    speakers: list[_Speaker] | None = None


class _Opening(BaseModel):
    opener: str
    count: int


class _Scores(BaseModel):
    """What is read of scores.json."""

    classes: tuple[str, ...]
    complete: bool
    folds: list[_Fold]
    openings: list[_Opening]


class _Component(BaseModel):
    kind: str
    id: str
    name: str
    distribution: str
    version: str
    code: str = ""


class _Notes(BaseModel):
    warnings: tuple[str, ...] = ()


class _Manifest(BaseModel):
    """What is read of manifest.json."""

    job: str
    protocol: str
    selection: str
    evidence: str
    digests: dict[str, str | dict[str, str]]
    versions: dict[str, str]
    components: list[_Component]
    seeds: dict[str, int]
    machine: dict[str, str | int | None]
    parameters: dict[str, int] = {}
    notes: _Notes

    def flat_digests(self) -> dict[str, str]:
        """{"folds": a, "corpora": {"x": b}} -> folds: a, corpora.x: b."""
        found: dict[str, str] = {}
        for name, value in self.digests.items():
            found.update({name: value} if isinstance(value, str) else {f"{name}.{key}": each for key, each in value.items()})
        return found


class _Folds(BaseModel):
    """What is read of folds.json."""

    classes: list[str]
    folds: list[dict[str, object]]


def read_results(folder: Path) -> Results:
    """The plan of a comparison, the facts of all records that are finished and sound, and the proof that their rows are comparable.

    A record that is damaged, or was changed after it was finished, counts as missing, and `failures` says so; the others go on.

    Args:
        folder: `runs/NAME` of a comparison.

    Raises:
        SereError: T505 if the folder holds no plan, or a damaged one.
    """
    plan = ComparePlan.read(folder)
    runs: dict[str, RunFacts] = {}
    failures: dict[str, str] = {}
    for job in dict.fromkeys(job.job for job in plan.jobs):
        try:
            if is_done(folder, job):
                runs[job] = read_facts(record_of(folder, job))
            elif failure := read_failure(folder, job):
                failures[job] = failure[1]
        except SereError as cause:
            failures[job] = f"[{cause.problems[0].code}] {cause.problems[0].message}; {cause.problems[0].hint}"
    places = {(job.row, job.pair, job.seed): job.job for job in plan.jobs}
    proof = prove(plan, {job: facts.conditions for job, facts in runs.items()})
    first = next((runs[job.job] for job in plan.jobs if job.row == plan.reference and job.job in runs), None)
    return Results(
        plan=plan,
        runs={place: runs[job] for place, job in places.items() if job in runs},
        failures={place: failures[job] for place, job in places.items() if job in failures},
        allowed=proof.allowed,
        refused=proof.refused,
        config={} if first is None else load_yaml((first.path / "config.yaml").read_bytes()),
    )


def read_facts(folder: Path) -> RunFacts:
    """The facts of a finished record; its folder is named after its job.

    Raises:
        SereError: T505 if a file is missing, damaged or was changed afterwards, or the record is of another job.
    """
    try:
        contents = read_verified(folder)
        manifest = _Manifest.model_validate_json(contents["manifest.json"])
        scores = _Scores.model_validate_json(contents["scores.json"])
        if manifest.job != folder.name:
            raise ValueError(f"it is the record of job {manifest.job}")
        if not scores.complete:
            raise ValueError("not all folds are scored")
        speakers = [(each, fold.fold) for fold in scores.folds for each in fold.speakers or ()]
        size = len(scores.classes)
        openings: dict[str, int] = {}
        for each in scores.openings:
            openings[each.opener] = openings.get(each.opener, 0) + each.count
        seconds, peak = read_timing(folder)
        return RunFacts(
            job=manifest.job,
            path=folder,
            classes=scores.classes,
            protocol=manifest.protocol,
            selection=manifest.selection,
            evidence=manifest.evidence,
            digests=manifest.flat_digests(),
            conditions=_conditions(manifest, contents["config.yaml"], contents["folds.json"]),
            confusion=_counts([fold.confusion for fold in scores.folds], size),
            speakers=tuple(each.speaker for each, _ in speakers),
            genders=tuple(each.gender for each, _ in speakers),
            speaker_folds=tuple(fold for _, fold in speakers),
            by_speaker=_counts([each.confusion for each, _ in speakers], size) if speakers else np.zeros((0, 0, 0), dtype=np.int64),
            openings=openings,
            warnings=manifest.notes.warnings,
            seconds=seconds,
            peak_mib=peak,
            parameters=manifest.parameters.get("trained"),
        )
    except SereError as cause:
        raise SereError(*(replace(problem, hint=_HINT) for problem in cause.problems)) from cause
    except ValidationError as cause:
        first = cause.errors()[0]
        what = f"{cause.title.strip('_').lower()}.json: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise error("T505", f"{folder} cannot be used: {what}", _HINT) from cause
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as cause:
        raise error("T505", f"{folder} cannot be used: {' '.join(str(cause).split())}", _HINT) from cause


def _counts(lists: Sequence[Sequence[Sequence[int]]], size: int) -> Counts:
    counts = np.array(lists, dtype=np.int64)
    if counts.shape != (len(lists), size, size) or not lists or counts.min() < 0:
        raise ValueError(f"scores.json holds no confusion matrices of {size} classes")
    return counts


def _conditions(manifest: _Manifest, config: bytes, folds: bytes) -> dict[str, str]:
    """What the record says of the conditions of its run, flat; the proof compares these.

    Names begin with what they are of: `config.`, `digests.`, `components.`, `versions.`, `seeds.`, `machine.`, or are `classes` and
    `selection`.
    """
    found = {**_of_config(_SEED.sub(b"", config, count=1)), **_of_folds(folds), "selection": manifest.selection}
    sections = ("corpora.", "features.", "streams.")
    found |= {f"digests.{name}": value for name, value in manifest.flat_digests().items() if name.startswith(sections)}
    for each in manifest.components:
        if each.kind != "hook":
            found[f"components.{each.id}"] = f"{each.name} of {each.distribution} {each.version}"
            found[f"components.{each.id}.code"] = each.code
    engine = manifest.digests.get("engine", {})
    found |= {f"versions.{name}": value for name, value in manifest.versions.items()}
    found |= {f"versions.sere.{package}": value for package, value in (engine.items() if isinstance(engine, dict) else ())}
    found |= {f"seeds.{name}": str(value) for name, value in manifest.seeds.items()}
    return found | {f"machine.{name}": str(manifest.machine[name]) for name in ("device", "precision")}


@functools.lru_cache(maxsize=4096)
def _of_config(config: bytes) -> Mapping[str, str]:
    """Of a config without its seed, which the runs of one row and pair share to the byte."""
    found: dict[str, str] = {}
    for path, value in leaves(load_yaml(config)):
        name = ".".join(path)
        if not is_below(name, *_IGNORED):
            found[f"config.{name}"] = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return found


@functools.lru_cache(maxsize=256)
def _of_folds(data: bytes) -> Mapping[str, str]:
    """Of folds, which the rows of one pair and seed share."""
    task = _Folds.model_validate_json(data)
    found = {"classes": ", ".join(task.classes)}
    for name in ("labelled", "source", "target", "test"):
        members = json.dumps([fold[name] for fold in task.folds], sort_keys=True)
        found[f"digests.folds.{name}"] = hashlib.sha256(members.encode()).hexdigest()[:16]
    return found
