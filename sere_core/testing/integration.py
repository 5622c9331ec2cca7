"""A run of the engine with the component in it, and a comparison: what is laid over `base.yaml` to use it."""

from __future__ import annotations

import io
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

from sere_core.testing.subject import EVERYTHING, Checks, NotRun, Subject, shared_folder
from sere_registry import BuildContext, ComponentSpec
from sere_registry.catalog import Catalog, Entry

CHECKS = Checks()
Config = dict[str, Any]
BASE = Path(__file__).with_name("base.yaml")
#: the kit's own encoder of samples, announced for its runs only
RAW = ComponentSpec(kind="encoder", name="raw", factory="sere_core.testing.toy:Raw", summary="one convolution over samples")
#: what the made-up languages express
SPOKEN = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


@CHECKS("integration.run", EVERYTHING)
def runs(subject: Subject) -> None:
    """A three-step run with it goes from its config to its record."""
    folder = run(subject, config(subject))
    records = list(folder.glob("runs/*/scores.json"))
    assert len(records) == 1, "the run left no record"


def config(subject: Subject) -> Config:
    """A tiny config that uses the component."""
    entry, kind = subject.entry, subject.entry.kind
    data = subject.spec.params(**subject.params).model_dump(mode="json", by_alias=True)
    # the distribution of a local entry is its absolute path
    use = f"file:{entry.distribution}:{entry.value.rpartition(':')[2]}" if entry.local else entry.full_name
    made = placed(subject, {"use": use, "params": {name: data[name] for name in subject.params}})
    made |= {"extends": str(BASE), "features": {"cache": str(shared_folder("cache"))}}
    if kind == "corpus":
        emotions, speakers = spoken(subject)
        made["corpora"] |= {"source": {"params": {"emotions": emotions}}, "target": None}
        disjoint = len(speakers) > 1
        made["task"] = {"target": "checked", "disjoint": "speaker" if disjoint else "none", "folds": "speakers" if disjoint else 2}
    elif kind == "encoder":
        made["encoders"]["small"] = None
        made["paths"] = {"labelled": "checked", "unlabelled": "checked"}
    elif kind == "resonance":  # no other kind needs bursts here, and pitch takes seconds
        made |= {"losses": {"checked": {"use": "sere.tric"}}, "dynamics": {"use": "sere.static"}}
    elif kind == "view":
        made["losses"] = {"checked": {"use": "sere.cross_entropy", "params": {"view": "weak"}}}
        if altered(subject) == "waveform":  # frames of this encoder are samples
            made["encoders"] = {"small": {"use": "kit.raw"}}
    elif kind == "selector" and any(name.startswith("validation") for name in signature(subject.build().score).parameters):
        made["task"] = {"validation": 1}
        made["corpora"] = {"source": {"params": {"per_class": 2}}}
    elif use == "sere.cross_entropy":
        made["losses"]["classify"] = None
    elif subject.spec.own_losses:
        made["losses"] = None
    return made


def placed(subject: Subject, this: Config) -> Config:
    """The section of a config where a component of its kind stands, with `this` there."""
    kind = subject.entry.kind
    if kind == "view":
        return {"views": {name: [this] for name in (("weak", "strong") if altered(subject) == "waveform" else ("weak",))}}
    sections = {"corpus": "corpora", "encoder": "encoders", "loss": "losses", "hook": "hooks"}
    return {sections[kind]: {"checked": this}} if kind in sections else {{"selector": "select"}.get(kind, kind): this}


def altered(subject: Subject) -> str:
    """What a view alters."""
    level: str = subject.build().level
    return level


def spoken(subject: Subject) -> tuple[list[str], set[str]]:
    """The corpus's two most frequent emotions of those that made-up languages have, and its speakers."""
    found = subject.build(BuildContext("checked", cache=shared_folder("cache"))).utterances()
    counted = Counter(utterance.emotion for utterance in found)
    known = [emotion for emotion, _ in counted.most_common() if emotion in SPOKEN]
    if len(known) < 2:
        raise NotRun(f"it has fewer than two of the emotions {', '.join(SPOKEN)}")
    return sorted(known[:2]), {utterance.speaker for utterance in found} - {""}


def written(made: Config, path: Path) -> Path:
    path.write_text(json.dumps(made, indent=1), encoding="utf-8")  # JSON is YAML
    return path


def run(subject: Subject, made: Config) -> Path:
    """Run a config; the folder that it ran in."""
    folder = subject.fresh("run")
    _run(written({**made, "output": {"dir": str(folder / "runs")}}, folder / "checked.yaml"), catalog_of(subject))
    return folder


def _run(path: Path, catalog: Catalog) -> None:
    from sere_core import run as engine
    from sere_core.config import load

    engine.run(load(path, catalog=catalog), quiet=True)


def catalog_of(subject: Subject) -> Catalog:
    """What is installed, and the component, which may be announced in memory."""
    entry, kit = subject.entry, Entry.of(RAW, distribution="sere-kit", namespace="kit")
    installed = Catalog().entries
    if entry.local:
        return Catalog([*installed, kit], imports="files")
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
    table = compare(subject, config(subject))
    for row in ROWS:
        assert row in table, f"the table of the comparison has no row '{row}'"


def reference(subject: Subject) -> Config:
    """What is laid over the component's config in the row of the reference."""
    kind = subject.entry.kind
    if kind not in REFERENCES:
        return {"losses": {"checked": {"use": "sere.coral"}}}
    use = WAVEFORM if kind == "view" and altered(subject) == "waveform" else REFERENCES[kind]
    found = placed(subject, {"use": use})
    if kind in ("loss", "method"):
        found["losses"] = {"classify": {"use": "sere.cross_entropy"}, **found.get("losses", {})}
    return found


def compare(subject: Subject, made: Config, checked: Mapping[str, object] | None = None) -> str:
    """Run both rows, prove that they are comparable, and return the printed table.

    Args:
        made: the component's config.
        checked: what else is laid over it in its own row.

    Raises:
        SereError: T506 if the records do not prove it, or what is wrong with the plan or a run.
    """
    from rich.console import Console

    from sere_core.compare.grammar import Flags, read_request
    from sere_core.compare.plan import job_file, record_of
    from sere_core.compare.planning import Planner
    from sere_core.compare.progress import finish
    from sere_core.compare.reading import read_results

    catalog, folder = catalog_of(subject), subject.fresh("comparison")
    written(made, folder / "base.yaml")
    rows = {"reference": reference(subject), "checked": checked or {}}
    asked = {"sere": 1, "compare": "checked", "base": "base.yaml", "rows": rows, "reference": "reference", "output": str(folder / "made")}
    planned = Planner(read_request(str(written(asked, folder / "comparison.yaml")), Flags()), catalog).comparison()
    planned.write()
    references = {job.job for job in planned.plan.jobs if job.row == "reference" and subject.entry.kind in REFERENCES}
    for job in planned.plan.in_order():
        kept, record = shared_folder("references") / job, record_of(planned.folder, job)
        shared = [kept] if job in references else []  # with all checks of this process, whose references are the same
        if made_before := [path for path in (*subject.folder.glob(f"run-*/runs/{job}"), *shared) if path.exists()]:
            shutil.copytree(made_before[0], record)
        else:
            _run(job_file(planned.folder, job), catalog)
        if shared and not kept.exists():
            shutil.copytree(record, kept)
    printed = io.StringIO()
    if finish(planned.folder, Console(file=printed, width=120)) != 0:
        found = read_results(planned.folder).failures
        raise AssertionError("; ".join(f"the row '{row}': {why}" for (row, _, _), why in found.items()) or "a row has no sound record")
    return printed.getvalue()
