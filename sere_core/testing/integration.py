"""A run of the engine with the component in it, and a comparison: configs in files, two made-up languages, three steps a fold."""

from __future__ import annotations

import io
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sere_core.testing.subject import EVERYTHING, Checks, NotRun, Subject, shared_cache, shared_folder
from sere_registry import BuildContext, ComponentSpec, Corpus, SereError
from sere_registry.catalog import Catalog, Entry

if TYPE_CHECKING:
    from sere_core.compare.planning import Planned

CHECKS = Checks()
T = TypeVar("T")
Config = dict[str, Any]
#: the kit's own encoder of samples, announced for its runs only
RAW = ComponentSpec(kind="encoder", name="raw", factory="sere_core.testing.toy:Raw", summary="one convolution over samples")
#: what the made-up languages express
SPOKEN = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


@CHECKS("integration.run", EVERYTHING)
def runs(subject: Subject) -> None:
    """A three-step run with it goes from its config to its record."""
    folder = with_its_losses(subject, lambda made: run(subject, made))
    records = list(folder.glob("runs/*/scores.json"))
    assert len(records) == 1, "the run left no record"


def with_its_losses(subject: Subject, work: Callable[[Config], T]) -> T:
    """What `work` makes of the component's config; of a method that refuses the losses of a config, without these."""
    made = config(subject)
    try:
        return work(made)
    except SereError as problem:
        if subject.entry.kind != "method" or problem.problems[0].code != "C311":
            raise
        return work({**made, "losses": {}})


def config(subject: Subject, block: Config | None = None) -> Config:
    """A tiny config that uses the component; or, in its place, what `block` says."""
    kind = subject.entry.kind
    this = {"use": _use(subject), "params": _data(subject)} if block is None else block
    made = base_config()
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
            made["encoders"]["small"] = {"use": "kit.raw"}
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


def base_config() -> Config:
    """Two made-up languages, a small network, three steps."""

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


def _corpus(subject: Subject) -> Corpus:
    found: Corpus = subject.build(BuildContext("target", cache=shared_cache()))
    return found


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
    entry, kit = subject.entry, Entry.of(RAW, distribution="sere-kit", namespace="kit")
    installed = Catalog().entries
    if entry.local:
        return Catalog([*installed, kit])
    others = [one for one in installed if (one.kind, one.full_name) != (entry.kind, entry.full_name)]
    return Catalog([*others, replace(entry, loader=lambda: subject.spec), kit])


# -- a comparison -------------------------------------------------------------------------------------------------------

#: kind -> the first-party component that it stands beside.  Rows of one table share corpora and the rule of selection, and hooks
#: take no part in what they are: two rows of other losses share the corpus, selector or hook that is checked
REFERENCES = {
    "loss": "sere.tric",
    "resonance": "sere.irf",
    "encoder": "sere.logmel",
    "dynamics": "sere.idfe",
    "method": "sere.joint",
    "view": "sere.jitter",
}
WAVEFORM = "sere.gain"
ROWS = ("reference", "checked")


@CHECKS("integration.comparison", EVERYTHING)
def compares(subject: Subject) -> None:
    """Beside the reference of its kind, with the same folds, shots, streams and budget, it is proven comparable, and both have a row."""
    table = with_its_losses(subject, lambda made: compare(subject, base_of(subject, made), made))
    for row in ROWS:
        assert row in table, f"the table of the comparison has no row '{row}'"


def base_of(subject: Subject, made: Config) -> Config:
    """The config of the reference's row beside `made`, the one under test."""
    kind = subject.entry.kind
    if kind in REFERENCES:
        waveform = kind == "view" and subject.build().level == "waveform"
        return config(subject, {"use": WAVEFORM if waveform else REFERENCES[kind]})
    return {**made, "losses": {**made["losses"], "checked": {"use": "sere.coral"}}}


def compare(subject: Subject, base: Config, made: Config) -> str:
    """Run both rows, prove that they are comparable, and return the printed table.

    Raises:
        SereError: T506 if the records do not prove it, or what is wrong with the plan or a run.
    """
    from rich.console import Console

    from sere_core.compare.progress import finish
    from sere_core.compare.reading import read_results

    catalog = catalog_of(subject)
    planned = _plan(subject.fresh("comparison"), base, _overlay(base, made), catalog)
    for job in planned.plan.jobs:
        _run(planned, job.job, catalog, shared=job.row == "reference" and subject.entry.kind in REFERENCES)
    console = Console(file=io.StringIO(), width=120)
    if finish(planned.folder, console) != 0:
        found = read_results(planned.folder).failures
        raise AssertionError("; ".join(f"the row '{row}': {why}" for (row, _, _), why in found.items()) or "a row has no sound record")
    printed = console.file
    assert isinstance(printed, io.StringIO)
    return printed.getvalue()


def _plan(folder: Path, base: Config, overlay: Config, catalog: Catalog) -> Planned:
    from sere_core.compare.grammar import Flags, read_request
    from sere_core.compare.planning import Planner

    (folder / "base.yaml").write_text(json.dumps(base), encoding="utf-8")  # JSON is YAML
    rows = {"reference": {}, "checked": overlay}
    asked = {"sere": 1, "compare": "checked", "base": "base.yaml", "rows": rows, "reference": "reference", "output": str(folder / "made")}
    (folder / "comparison.yaml").write_text(json.dumps(asked), encoding="utf-8")
    planned = Planner(read_request(str(folder / "comparison.yaml"), Flags()), catalog).comparison()
    planned.write()
    return planned


def _run(planned: Planned, job: str, catalog: Catalog, *, shared: bool) -> None:
    """Run a job, or take the record of the same reference that an earlier check of this process made."""
    from sere_core import run as engine
    from sere_core.compare.plan import job_file, record_of
    from sere_core.config import load

    kept, record = shared_folder("references") / job, record_of(planned.folder, job)
    if shared and kept.exists():
        shutil.copytree(kept, record)
        return
    code = engine.run(load(job_file(planned.folder, job), catalog=catalog), quiet=True)
    assert code == 0, f"the run ended with exit code {code}"
    if shared:
        shutil.copytree(record, kept)


def _overlay(base: Config, made: Config) -> Config:
    """What is laid over `base` to get `made`: whole components, null for what is left out."""
    found: Config = {}
    for name in {**base, **made}:
        old, new = base.get(name), made.get(name)
        if old == new:
            continue
        sections = isinstance(old, dict) and isinstance(new, dict) and "use" not in new
        found[name] = _overlay(old, new) if sections else new  # type: ignore[arg-type]
    return found
