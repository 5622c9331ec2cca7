"""From the folder of a comparison to its results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sere_core.compare.extract import extract
from sere_core.compare.facts import Results, RunFacts
from sere_core.compare.identity import identity
from sere_core.compare.index import Index
from sere_core.compare.plan import ComparePlan
from sere_registry.errors import SereError

if TYPE_CHECKING:
    from sere_core.compare.evidence import Conditions


def read_results(folder: Path, conditions: Conditions | None = None) -> Results:
    """The plan of a comparison with the facts of all records that are finished and sound.

    A record that is damaged, or was changed after it was finished, counts as missing, and `failures` says so; the others go on.
    Facts of records that have not changed since the last reading come from an index in the folder.

    Args:
        folder: `runs/NAME` of a comparison.
        conditions: for the proof: are told of every record that is looked at, and of what stands in those that are read.

    Raises:
        SereError: T505 if the folder holds no plan, or a damaged one.
    """
    plan = ComparePlan.read(folder)
    jobs = {job.job: "" for job in plan.jobs}
    index, runs = Index(folder), dict[str, RunFacts]()
    records = folder / "records"
    told = () if conditions is None else (conditions,)
    for job in jobs:
        record = records / job
        seen = identity(str(record))
        if conditions is not None:
            conditions.seen[job] = seen
        if not seen[0][2]:  # no `done`: not finished
            jobs[job] = _failure(folder / "failures" / f"{job}.json")
            continue
        facts = index.get(job, seen)
        if facts is None:
            try:
                facts = extract(record, job, *told)
            except SereError as problem:
                jobs[job] = _one_line(problem)
                continue
            index.put(job, seen, facts)
        runs[job] = facts
    index.write(jobs)
    places = {(job.row, job.pair, job.seed): job.job for job in plan.jobs}
    return Results(
        plan=plan,
        runs={place: runs[job] for place, job in places.items() if job in runs},
        failures={place: jobs[job] for place, job in places.items() if jobs[job]},
        config=_config(plan, runs),
    )


def _one_line(problem: SereError) -> str:
    first = problem.problems[0]
    return f"[{first.code}] {first.message}" + (f"; {first.hint}" if first.hint else "")


def _failure(path: Path) -> str:
    """Why a job failed the last time; "" if it did not."""
    try:
        data = json.loads(path.read_bytes())
        code, line = str(data["code"]), " ".join(str(data["line"]).split())
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError):
        return "failed; why cannot be read"
    return line if not code or f"[{code}]" in line else f"[{code}] {line}"


def _config(plan: ComparePlan, runs: Mapping[str, RunFacts]) -> dict[str, Any]:
    """The resolved config of the reference row's first record; empty if there is none yet."""
    import yaml

    found = next((runs[job.job] for job in plan.jobs if job.row == plan.reference and job.job in runs), None)
    if found is None:
        return {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is there
    config = yaml.load((found.path / "config.yaml").read_bytes(), Loader=loader)
    return dict(config) if isinstance(config, Mapping) else {}
