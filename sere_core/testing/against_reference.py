"""A comparison with the component in it: beside the reference of its kind, in the harness that every table comes from."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sere_core.testing.integration import Config, catalog_of, config
from sere_core.testing.subject import EVERYTHING, Checks, Subject, shared_folder
from sere_registry import SereError
from sere_registry.catalog import Catalog

if TYPE_CHECKING:
    from sere_core.compare.planning import Planned

CHECKS = Checks()

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
    base, made = configs(subject)
    try:
        table = compare(subject, base, made)
    except SereError as problem:
        if subject.entry.kind != "method" or problem.problems[0].code != "C311":
            raise
        table = compare(subject, base, {**made, "losses": {}})  # it brings its own losses
    for row in ROWS:
        assert row in table, f"the table of the comparison has no row '{row}'"


def configs(subject: Subject) -> tuple[Config, Config]:
    """The config of the reference's row, and that of the row under test."""
    made = config(subject)
    kind = subject.entry.kind
    if kind in REFERENCES:
        waveform = kind == "view" and subject.build().level == "waveform"
        return config(subject, {"use": WAVEFORM if waveform else REFERENCES[kind]}), made
    return made, {**made, "losses": {**made["losses"], "checked": {"use": "sere.coral"}}}


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
