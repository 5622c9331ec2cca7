"""A worker: it takes open jobs from a comparison's folder until there is none, and needs nobody who hands them out.

runs/NAME/work.json   the jobs in their order, and what the machine that planned them is like

A job is open that is neither done nor failed.  Whoever has the lock of its record's folder runs it; the lock is free again when its
holder ends, however it ends, and the next one goes on from the last checkpoint.
"""

from __future__ import annotations

import functools
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

from pydantic import TypeAdapter

from sere_core.compare.jobs import Outcome, at_work, outcome_of, run_job
from sere_core.compare.plan import record_of, write_json
from sere_core.content import Contents
from sere_core.provenance import code_digest
from sere_core.score.manifest import versions
from sere_core.untrusted import checked, json_of, read_stored
from sere_registry.errors import Problem, SereError, error

_INSTALL = "install the same versions of sere and its plugins on all machines"
_HINTS = {
    "file": "put it on the shared file system: jobs name it by its whole path",
    "data": "mount the corpora under the same path on all machines",
}
#: read once: it looks at every file of every distribution
_owners = functools.cache(packages_distributions)
_POLL = 1.0  # seconds between two looks at what others do


@dataclass(frozen=True)
class Needs:
    """What runs are made of beside their configs."""

    packages: tuple[str, ...]
    files: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class Work:
    """What a worker reads: the jobs in their order, and what the machine must have, by name, as on the one that planned them."""

    jobs: tuple[str, ...]
    needs: Needs
    facts: Mapping[str, str]


def write_work(folder: Path, jobs: Sequence[str], needs: Needs) -> None:
    there = Needs(needs.packages, needs.files, tuple(name for name in needs.data if os.path.exists(name)))
    write_json(folder / "work.json", asdict(Work(tuple(jobs), there, facts(there))))


def read_work(folder: Path) -> Work:
    """The work in a comparison's folder.

    Raises:
        SereError: T505 if there is none; X708 for everything that this machine does not have as the one that planned it.
    """
    path, again = folder / "work.json", "`sere compare FILE --dry-run --write-jobs` writes it"
    if not path.exists():
        raise error("T505", f"{folder} holds no jobs (no work.json)", again)
    work = checked(json_of(read_stored(path, again), path, again), path, again, TypeAdapter(Work))
    if problems := differences(work.facts, facts(work.needs)):
        raise SereError(*problems)
    return work


def pull(folder: Path, jobs: Sequence[str], losses: int, wait: bool = False, trust: bool = False) -> Iterator[Outcome]:
    """Run open jobs one after the other, until all are done, have failed, or are at work elsewhere.

    Args:
        losses, trust: see `run_job`.
        wait: stay until they are done or have failed, to take over what is lost.
    """
    left = list(jobs)
    while left:
        idle = True
        for job in left:
            if outcome_of(folder, job) or at_work(record_of(folder, job)):
                continue
            if outcome := run_job(folder, job, losses, trust):
                idle = False
                yield outcome
        left = [job for job in left if not outcome_of(folder, job)]
        if idle and all(at_work(record_of(folder, job)) for job in left):
            if not wait:
                return
            time.sleep(_POLL)


def facts(needs: Needs) -> dict[str, str]:
    """What this machine has of `needs`, by name."""
    owners, contents = _owners(), Contents()
    distributions = {name for package in needs.packages for name in owners.get(package, ())}
    found = {f"the version of {name}": version for name, version in versions(distributions).items()}
    found |= {f"the code of {package}": code_digest("", package, contents) or "missing" for package in needs.packages}
    for name in needs.files:
        content = Path(name).read_bytes() if Path(name).is_file() else None
        found[f"the file {name}"] = "missing" if content is None else hashlib.sha256(content).hexdigest()[:16]
    return found | {f"the data {name}": "there" if os.path.exists(name) else "missing" for name in needs.data}


def differences(planned: Mapping[str, str], here: Mapping[str, str]) -> list[Problem]:
    """A line for each thing that is not the same where the jobs were planned and here."""
    problems = []
    for name in dict.fromkeys((*planned, *here)):
        there, mine = planned.get(name, "missing"), here.get(name, "missing")
        if there != mine:
            what = f"{name} is {there} where the jobs were planned, {mine} on {os.uname().nodename}"
            problems.append(Problem("X708", what, _HINTS.get(name.split()[1], _INSTALL)))
    return problems
