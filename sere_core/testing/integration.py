"""A run of the engine with the component in it: a config written to a file, two made-up languages, three steps a fold."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from sere_core.testing.subject import EVERYTHING, Checks, NotRun, Subject, shared_cache
from sere_registry import BuildContext, SereError
from sere_registry.catalog import Announced, Catalog
from sere_registry.entries import InMemory
from sere_registry.kinds import GROUPS
from sere_registry.scan import installed_entry_points

CHECKS = Checks()
Config = dict[str, Any]
RAW = "kit.raw"
#: what the made-up languages express
SPOKEN = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


def _kit() -> list[Announced]:
    """The kit's own component, announced for this run only."""
    from sere_core.testing.raw import SPEC

    return [Announced.of(SPEC, distribution="sere-kit", namespace="kit")]


@CHECKS("integration.run", EVERYTHING)
def runs(subject: Subject) -> None:
    """A three-step run with it goes from its config to its record."""
    made = config(subject)
    try:
        folder = run(subject, made)
    except SereError as problem:
        if subject.entry.kind != "method" or problem.problems[0].code != "C311":
            raise
        folder = run(subject, {**made, "losses": {}})  # it brings its own losses
    records = list(folder.glob("runs/*/scores.json"))
    assert len(records) == 1, "the run left no record"


def config(subject: Subject, block: Config | None = None) -> Config:
    """A tiny config that uses the component; or, in its place, what `block` says."""
    kind = subject.entry.kind
    this = {"use": _use(subject), "params": _data(subject)} if block is None else block
    made = _base()
    if kind == "corpus":
        made["corpora"]["source"]["params"]["emotions"] = _two_emotions(subject)
        made["corpora"]["target"] = this
        made["task"]["folds"] = "speakers" if len(_speakers(subject)) > 1 else 2
        made["task"]["disjoint"] = "speaker" if len(_speakers(subject)) > 1 else "none"
    elif kind == "encoder":
        made["encoders"]["small"] = this
    elif kind in ("dynamics", "resonance", "method"):
        made[kind] = this
    elif kind == "selector":
        made["select"] = this
    elif kind == "hook":
        made["hooks"]["checked"] = this
    elif kind == "loss":
        made["losses"]["checked"] = this
        made["losses"] = dict(list(made["losses"].items())[-1:]) if this["use"] == "sere.cross_entropy" else made["losses"]
    else:
        made["views"]["weak"] = [this]
        if subject.build().level == "waveform":
            made["encoders"]["small"] = {"use": RAW}
            made["views"]["strong"] = [this]  # frames of this encoder are samples
        made["losses"]["checked"] = {"use": "sere.cross_entropy", "params": {"view": "weak"}}
    if kind == "resonance":
        made["losses"]["checked"] = {"use": "sere.tric"}
        made["dynamics"] = {"use": "sere.static"}  # no other kind needs bursts here, and pitch takes seconds
    return made


def run(subject: Subject, made: Config) -> Path:
    """Run a config; the folder that it ran in."""
    from sere_core import run as engine
    from sere_core.config import load

    folder = subject.fresh("run")
    made["output"] = {"dir": str(folder / "runs")}
    path = folder / "checked.yaml"
    path.write_text(json.dumps(made, indent=1), encoding="utf-8")  # JSON is YAML
    code = engine.run(load(path, catalog=catalog_of(subject)), quiet=True)
    assert code == 0, f"the run ended with exit code {code}"
    return folder


def _base() -> Config:
    def corpus(language: str) -> Config:
        params = {"language": language, "speakers": 2, "per_class": 1, "emotions": ["anger", "sadness"], "seconds": 0.4}
        return {"use": "sere.synthetic", "params": params}

    return {
        "sere": 1,
        "name": "checked",
        "corpora": {"source": corpus("xa"), "target": corpus("xb")},
        "task": {"source": "source", "target": "target", "shots": 1, "folds": 2},
        "encoders": {"small": {"use": "sere.logmel", "params": {"bands": 8, "dim": 4, "layers": 0}}},
        "paths": {"labelled": "small", "unlabelled": "small"},
        "features": {"crepe": "tiny", "cache": str(shared_cache())},
        "network": {"dim": 8},
        "dynamics": {"use": "sere.none"},
        "resonance": {"use": "sere.irf"},
        "losses": {"classify": {"use": "sere.cross_entropy"}},
        "train": {"epochs": 1, "steps_per_epoch": 3, "batch": {"source": 2, "target": 2}, "device": "cpu", "threads": 1},
        "views": {"weak": [{"use": "sere.jitter"}], "strong": [{"use": "sere.frame_mask"}]},
        "hooks": {},
    }


def _use(subject: Subject) -> str:
    """What a config in any folder says to get it."""
    entry = subject.entry
    if not entry.local:
        return entry.full_name
    return f"file:{entry.distribution}:{entry.value.rpartition(':')[2]}"  # the distribution of a local entry is its absolute path


def _data(subject: Subject) -> Config:
    """The values given to the check, as JSON data."""
    made = subject.spec.params(**subject.params).model_dump(mode="json", by_alias=True)
    return {name: made[name] for name in subject.params}


def _corpus(subject: Subject) -> Any:
    return subject.build(BuildContext("target", cache=shared_cache()))


def _speakers(subject: Subject) -> set[str]:
    return {utterance.speaker for utterance in _corpus(subject).utterances()} - {""}


def _two_emotions(subject: Subject) -> list[str]:
    """The two most frequent ones of those that made-up languages have."""
    counted = Counter(utterance.emotion for utterance in _corpus(subject).utterances())
    known = [emotion for emotion, _ in counted.most_common() if emotion in SPOKEN]
    if len(known) < 2:
        raise NotRun(f"it has fewer than two of the emotions {', '.join(SPOKEN)}")
    return sorted(known[:2])


def catalog_of(subject: Subject) -> Catalog:
    """What is installed, and the component, which may be announced in memory."""
    entry = subject.entry
    if entry.local:
        return Catalog(entry_points=[*installed_entry_points([]), *_kit()])
    group = GROUPS[entry.kind]
    others = [point for point in installed_entry_points([]) if (point.group, point.name) != (group, entry.full_name)]
    owner = InMemory(entry.distribution, entry.version, list(entry.requires))
    this = Announced(entry.full_name, group, entry.value, owner, lambda: subject.spec)
    return Catalog(entry_points=[*others, this, *_kit()])
