"""What two machines must have in common before they may share a comparison: versions, code, data, and the folder with its locks."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path

from sere_core.compare.jobs import at_work
from sere_core.compare.planning import Needs
from sere_core.score.manifest import code_digest, versions
from sere_registry.errors import Problem

_TRANSPORT = ("dask", "distributed")  # through which the machines exchange jobs


def facts(needs: Needs) -> dict[str, str]:
    """What this machine has of it, by name; read anew each time, since a worker lives longer than an installation.

    >>> found = facts(Needs(("sere_registry",), ("/no/such/file.py",)))
    >>> found["the file /no/such/file.py"], len(found["the code of sere_registry"])
    ('missing', 16)
    """
    owners = packages_distributions()
    distributions = {name for package in needs.packages for name in owners.get(package, ())}
    found = {f"the version of {name}": version for name, version in versions((*_TRANSPORT, *distributions)).items()}
    found |= {f"the code of {package}": code_digest.__wrapped__(package) or "missing" for package in needs.packages}
    for name in needs.files:
        content = Path(name).read_bytes() if Path(name).is_file() else None
        found[f"the file {name}"] = "missing" if content is None else hashlib.sha256(content).hexdigest()[:16]
    return found | {f"the data {name}": "there" if os.path.exists(name) else "missing" for name in needs.data}


def lock_state(folder: str) -> str:
    """How a folder whose lock is held elsewhere looks from here: "locked", "missing", or "free" where locks do not reach."""
    if not os.path.isdir(folder):
        return "missing"
    return "locked" if at_work(Path(folder)) else "free"


def differences(mine: Mapping[str, str], theirs: Mapping[str, Mapping[str, str]]) -> list[Problem]:
    """One line for each thing that is not the same everywhere.

    Args:
        mine: the facts of this machine.
        theirs: worker -> its facts.

    >>> print(*differences({"the version of torch": "2.13"}, {"tcp://a": {"the version of torch": "2.6"}, "tcp://b": {}}))
    [X708] the version of torch is 2.13 here, 2.6 on tcp://a, missing on tcp://b
        install the same versions of sere and its plugins on all machines, and start the workers again
    """
    problems = []
    for name in dict.fromkeys((*mine, *(each for found in theirs.values() for each in found))):
        here = mine.get(name, "missing")
        others: dict[str, list[str]] = defaultdict(list)
        for worker, found in theirs.items():
            if found.get(name, "missing") != here:
                others[found.get(name, "missing")].append(worker)
        if others:
            there = ", ".join(f"{value} on {first_of(workers)}" for value, workers in others.items())
            problems.append(Problem("X708", f"{name} is {here} here, {there}", _HINTS.get(name.split()[1], _INSTALL)))
    return problems


_INSTALL = "install the same versions of sere and its plugins on all machines, and start the workers again"
_HINTS = {
    "file": "put it on the shared file system: jobs name it by its whole path",
    "data": "mount the corpora under the same path on all machines",
}


def first_of(workers: Sequence[str]) -> str:
    """The first of them, and how many more there are.

    >>> first_of(["tcp://a"]), first_of(["tcp://a", "tcp://b", "tcp://c"])
    ('tcp://a', 'tcp://a and 2 more')
    """
    return workers[0] if len(workers) == 1 else f"{workers[0]} and {len(workers) - 1} more"
