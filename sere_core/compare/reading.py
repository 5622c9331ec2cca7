"""From the folder of a comparison to its results; only records that match their `done` are used."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.plan import ComparePlan, is_done, read_failure, read_timing, record_of
from sere_core.compare.proof import is_below, prove
from sere_core.config.nodes import leaves
from sere_core.identity import parts_of
from sere_core.score.metrics import uar
from sere_core.score.records import Data, Record, read_verified
from sere_core.untrusted import yaml_of
from sere_registry.errors import Problem, SereError, error

Counts = NDArray[np.int64]

_HINT = "take its folder away, and the next `sere compare` makes it again"
#: of a config: what results do not depend on, as in the digest that names a job
_IGNORED = ("name", "plugins", "output", "hooks", "features.cache", "train.device", "train.threads", "train.checkpoint_every", "seed")
_SEED = re.compile(rb"(?m)^seed: .*\n")
_NO_COUNTS: Counts = np.zeros((0, 0, 0), dtype=np.int64)


@dataclass(frozen=True)
class RunFacts:
    """What tables, statistics and reports know of a finished run.

    Args:
        evidence, components: the weakest label, and the components with theirs.
        conditions, digests: flat; see `_conditions`.
        confusion: `[F, C, C]` by fold; rows true, columns predicted.
        speakers: the S scored speakers, their `genders` and `speaker_folds`, and `by_speaker` `[S, C, C]`; empty where unknown.
        openings: how many target labels were opened, by opener.
        measures: what else is measured: WAR, macro F1, confidence, the config's metrics; means over folds.
        label_free, predicted: what stands in scores.json in place of scores, and the prediction of each utterance, where the target
            has no labels; its counts are empty then.
        clustering: by fold, of the embeddings of the scored utterances; see `sere_core.score.metrics`.
    """

    job: str
    path: Path
    classes: tuple[str, ...]
    protocol: str
    selection: str
    evidence: str
    digests: Mapping[str, str]
    confusion: Counts
    components: frozenset[tuple[str, str]] = frozenset()
    conditions: Mapping[str, str] = field(default_factory=dict)
    speakers: tuple[str, ...] = ()
    genders: tuple[str | None, ...] = ()
    speaker_folds: tuple[int, ...] = ()
    by_speaker: Counts = field(default_factory=_NO_COUNTS.copy)
    openings: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_mib: float | None = None
    parameters: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, object] = field(default_factory=dict)
    measures: Mapping[str, float] = field(default_factory=dict)
    clustering: Sequence[Mapping[str, float]] = ()
    label_free: Mapping[str, object] = field(default_factory=dict)
    predicted: tuple[str, ...] = ()

    @property
    def scored(self) -> bool:
        return not self.label_free

    @cached_property
    def uar(self) -> float:
        return float(uar(self.confusion).mean())


@dataclass(frozen=True)
class Results:
    """A comparison's plan with its runs, or the line of why one is missing, by (row, pair, seed).

    Args:
        allowed, refused: differences between records that were allowed by name, and that forbid a table (T506).
        config: the reference row's resolved config.
    """

    plan: ComparePlan
    runs: Mapping[tuple[str, str, int], RunFacts]
    failures: Mapping[tuple[str, str, int], str] = field(default_factory=dict)
    allowed: tuple[str, ...] = ()
    refused: tuple[Problem, ...] = ()
    config: Mapping[str, object] = field(default_factory=dict)

    @property
    def failure_lines(self) -> list[str]:
        return [f"failed: {row} {pair} seed {seed}: {line}" for (row, pair, seed), line in self.failures.items()]

    def of_row(self, name: str) -> list[RunFacts]:
        return [run for (row, _, _), run in self.runs.items() if row == name]

    def check(self) -> None:
        if self.refused:
            raise SereError(*self.refused)


def read_results(folder: Path) -> Results:
    """The plan of a comparison, its finished and sound records, and the proof that they are comparable.

    A record that is damaged or was changed counts as missing, and `failures` says so; T505 if there is no plan.
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
    allowed, refused = prove(plan, {job: facts.conditions for job, facts in runs.items()})
    first = next((runs[job.job] for job in plan.jobs if job.row == plan.reference and job.job in runs), None)
    return Results(
        plan=plan,
        runs={place: runs[job] for place, job in places.items() if job in runs},
        failures={place: failures[job] for place, job in places.items() if job in failures},
        allowed=allowed,
        refused=refused,
        config={} if first is None else Record.read(first.path).config,
    )


def read_facts(folder: Path) -> RunFacts:
    """A finished record's facts; T505 if a file is missing, damaged or was changed."""
    try:
        contents = read_verified(folder)
        record = Record.of(folder, contents)
        manifest, scores = record.manifest, record.scores
        if manifest["job"] != folder.name:
            raise ValueError(f"it is the record of job {manifest['job']}")
        folds, size, scored = scores["folds"], len(scores["classes"]), scores.get("scored", True)
        speakers = [(each, fold["fold"]) for fold in folds for each in fold.get("speakers") or ()]
        openings: Counter[str] = Counter()
        for each in scores["openings"]:
            openings[each["opener"]] += each["count"]
        parts = leaves(dict(manifest["digests"]))
        digests = {".".join(path): value for path, value in parts if isinstance(value, str)}
        digests |= {name: value for name, value in parts_of(manifest).items() if name.startswith("corpora.")}
        measures = {name: value for name, value in scores.get("mean", {}).items() if name != "uar" and value is not None}
        said = [{**(fold.get("clustering") or {}), "pseudo_accuracy": fold.get("pseudo_accuracy")} for fold in folds]
        seconds, peak = read_timing(folder)
        return RunFacts(
            job=manifest["job"],
            path=folder,
            classes=tuple(scores["classes"]),
            protocol=manifest["protocol"],
            selection=manifest["selection"],
            evidence=manifest["evidence"],
            components=frozenset((each["name"], each["evidence"]) for each in manifest["components"]),
            digests=digests,
            conditions=_conditions(manifest, digests, contents["config.yaml"], record.folds),
            confusion=_counts([fold["confusion"] for fold in folds], size) if scored else _NO_COUNTS,
            speakers=tuple(each["speaker"] for each, _ in speakers),
            genders=tuple(each.get("gender") for each, _ in speakers),
            speaker_folds=tuple(fold for _, fold in speakers),
            by_speaker=_counts([each["confusion"] for each, _ in speakers], size) if speakers else _NO_COUNTS,
            openings=openings,
            warnings=tuple(manifest["notes"].get("warnings", ())),
            seconds=seconds,
            peak_mib=peak,
            parameters=manifest.get("parameters", {}).get("trained"),
            versions=manifest["versions"],
            machine=manifest["machine"],
            measures=measures,
            clustering=[{name: float(value) for name, value in fold.items() if value is not None} for fold in said],
            label_free={} if scored else scores["evidence"],
            predicted=() if scored else tuple(each.prediction for each in record.predictions),
        )
    except SereError as cause:
        raise SereError(*(replace(problem, hint=_HINT) for problem in cause.problems)) from cause
    except ValueError as cause:
        raise error("T505", f"{folder} cannot be used: {' '.join(str(cause).split())}", _HINT) from cause


def _counts(lists: Sequence[Sequence[Sequence[int]]], size: int) -> Counts:
    counts = np.array(lists, dtype=np.int64)
    if counts.shape != (len(lists), size, size) or not lists or counts.min() < 0:
        raise ValueError(f"scores.json holds no confusion matrices of {size} classes")
    return counts


def _conditions(manifest: Data, digests: Mapping[str, str], config: bytes, folds: Data) -> dict[str, str]:
    """The conditions of a run, flat, for the proof."""
    found = {**_of_config(_SEED.sub(b"", config, count=1)), **_of_folds(folds), "selection": manifest["selection"]}
    for name, value in digests.items():
        section = name.partition(".")[0]
        if section in ("corpora", "features", "streams"):
            found[f"digests.{name}"] = value
    for name, value in parts_of(manifest).items():
        section, _, part = name.partition(".")
        if section == "code":
            found[f"versions.code.{part}"] = value
        elif section == "files":
            found[f"digests.{name}"] = value
    for each in manifest["components"]:
        if each["kind"] != "hook":
            found[f"components.{each['id']}"] = f"{each['name']} of {each['distribution']} {each['version']}"
    found |= {f"{section}.{name}": str(value) for section in ("versions", "seeds") for name, value in manifest[section].items()}
    return found | {f"machine.{name}": str(manifest["machine"][name]) for name in ("device", "precision")}


@functools.lru_cache(maxsize=4096)
def _of_config(config: bytes) -> Mapping[str, str]:
    """Of a config without its seed, which runs of one row and pair share."""
    found: dict[str, str] = {}
    for path, value in leaves(yaml_of(config, Path("config.yaml"), _HINT)):
        name = ".".join(path)
        if not is_below(name, *_IGNORED):
            found[f"config.{name}"] = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return found


def _of_folds(task: Data) -> Mapping[str, str]:
    found = {"classes": ", ".join(task["classes"])}
    for name in ("labelled", "source", "target", "test"):
        members = json.dumps([fold[name] for fold in task["folds"]], sort_keys=True)
        found[f"digests.folds.{name}"] = hashlib.sha256(members.encode()).hexdigest()[:16]
    return found
