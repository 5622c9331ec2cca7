"""Parts of manifest.json, which says what a run was made of, so that it can be made again.

It holds no wall-clock, no user names and no paths of the machine:

    name, job, protocol (`TaskPlan.protocol`), selection (the rule that chose the checkpoint, e.g. "last")
    evidence, versions, components: see `made_of`
    made_of: the parts of its identity, see `sere_core.identity`
    digests: of the folds (`TaskPlan.digest`), of the features, of the order of each stream
    corpora: how much the task uses of each: utterances, speakers, seconds, languages
    parameters: how many numbers of the method are "trained" by gradient, and how many there are in "total"
    seeds by stream, machine: see `machine`; notes: normalisation statements, warnings, numbers of utterances cut
"""

from __future__ import annotations

import functools
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from sere_core.config.nodes import leaves

if TYPE_CHECKING:
    from sere_core.config.resolved import Bound

#: from the strongest to the weakest
EVIDENCE = ("confirmed", "reconstructed", "ours", "stand-in")

#: the distributions whose versions change numbers
LIBRARIES = (
    *("torch", "numpy", "scipy", "scikit-learn", "torchmetrics", "transformers"),
    *("torchcrepe", "librosa", "soundfile", "soxr"),
)


def component(bound: Bound) -> dict[str, object]:
    """Where a component stands in the config, who made it, and what it is built with."""
    spec = bound.spec
    about: dict[str, object] = {"kind": spec.kind, "id": bound.path, "name": bound.full_name, "distribution": bound.distribution}
    about |= {"version": bound.version, "params": bound.params.model_dump(mode="json")}
    return {**about, "evidence": spec.evidence, "cite": spec.cite}


def made_of(components: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """What a manifest says of the components: the evidence of the whole, versions, and each of them."""
    return {
        "evidence": weakest(str(each["evidence"]) for each in components),
        "versions": versions(str(each["distribution"]) for each in components),
        "components": list(components),
    }


def weakest(labels: Iterable[str]) -> str:
    """The weakest evidence label: a run is as well founded as its weakest part.

    >>> weakest(["confirmed", "stand-in", "reconstructed"])
    'stand-in'
    """
    return max(labels, key=EVIDENCE.index, default=EVIDENCE[0])


#: what a process has imported stays as it was when this was first asked
_version = functools.cache(version)


def versions(distributions: Iterable[str] = ()) -> dict[str, str]:
    """Versions of Python, sere, the libraries that change numbers, and the plugins' distributions; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in ("sere", *LIBRARIES, *sorted(set(distributions))):
        try:
            found.setdefault(name, _version(name))
        except PackageNotFoundError:
            continue
    return found


def machine(device: str, precision: str) -> dict[str, object]:
    """What the machine is, without its name; and what is computed on (e.g. "cpu" or "NVIDIA H200"), and in which precision."""
    system = f"{platform.system()} {platform.machine()}"
    return {"system": system, "cpu": _cpu(), "cores": os.cpu_count(), "device": device, "precision": precision}


def manifest_changes(old: object, new: object) -> list[str]:
    """What differs between the manifest of an interrupted run and the one it would have now, as lines `what: old -> new`.

    >>> manifest_changes({"versions": {"torch": "2.6"}}, {"versions": {"torch": "2.13"}})
    ['versions.torch: 2.6 -> 2.13']
    """
    read_back = (json.loads(json.dumps(data)) for data in (old, new))
    before, after = ({".".join(path): value for path, value in leaves(data)} for data in read_back)
    return [f"{key}: {before.get(key)} -> {after.get(key)}" for key in sorted(before | after) if before.get(key) != after.get(key)]


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor() or "unknown")
