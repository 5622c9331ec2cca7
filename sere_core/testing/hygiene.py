"""What importing a spec does: the module of the entry point, imported in a process of its own."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from typing import Any

from sere_core.testing.network import OF_A_NAME, TO_AN_ADDRESS
from sere_core.testing.subject import Checks, NotRun, Subject

CHECKS = Checks()

#: packages that take seconds to import, or are broken on some machines; listing components must not need them
HEAVY = "torch numpy scipy pandas sklearn transformers librosa torchcrepe torchaudio torchmetrics tensorboard matplotlib jax tensorflow"

_CODE = """
import importlib, json, sys
path, kind, value, heavy, network = json.loads(sys.argv[1])
sys.path[:] = path
import sere_registry, sere_registry.catalog, packaging.requirements
before, opened = set(sys.modules), []
def watch(event, arguments):
    if event in network:
        opened.append(event)
        raise OSError("the network is blocked while a spec is imported")
sys.addaudithook(watch)
problem = ""
try:
    if value.startswith("file:"):
        sere_registry.catalog.Catalog(entry_points=[]).find(kind, value)
    else:
        importlib.import_module(value.partition(":")[0])
except BaseException as cause:
    problem = f"{type(cause).__name__}: {cause}"
sys.stdout.flush()
sys.stderr.flush()
after = {name.partition(".")[0] for name in set(sys.modules) - before}
report = {"heavy": sorted(after & set(heavy)), "opened": opened, "problem": problem}
sys.__stdout__.write("\\n@@" + json.dumps(report))
"""


@functools.lru_cache(maxsize=64)
def imported(kind: str, value: str, path: tuple[str, ...]) -> dict[str, Any]:
    """What importing an entry point's module loads, prints and opens."""
    words = [sys.executable, "-c", _CODE, json.dumps([path, kind, value, HEAVY.split(), ["socket.bind", *TO_AN_ADDRESS, *OF_A_NAME]])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    printed, found, report = done.stdout.rpartition("\n@@")
    if not found:
        return {"heavy": [], "opened": [], "printed": "", "problem": f"importing {value} ended the process with {done.returncode}"}
    return {**json.loads(report), "printed": (printed + done.stderr).strip()}


def _report(subject: Subject) -> dict[str, Any]:
    value = subject.entry.value
    if value == "in:memory":
        return {"heavy": [], "opened": [], "printed": "", "problem": ""}
    report = imported(subject.entry.kind, value, tuple(sys.path))
    if report["problem"] and not report["opened"]:
        raise NotRun(f"{value} failed to import: {report['problem']}")
    return report


@CHECKS("hygiene.no_torch")
def no_torch(subject: Subject) -> None:
    """Importing its spec loads neither torch nor anything else that is heavy."""
    heavy = _report(subject)["heavy"]
    assert not heavy, f"importing {subject.entry.value} loads {', '.join(heavy)}: name the factory as `module:attribute` in another module"


@CHECKS("hygiene.silent")
def silent(subject: Subject) -> None:
    """Importing its spec prints nothing."""
    printed = _report(subject)["printed"]
    assert not printed, f"importing {subject.entry.value} prints: {printed.splitlines()[0]}"


@CHECKS("hygiene.no_network")
def no_network(subject: Subject) -> None:
    """Importing its spec opens no connection."""
    opened = _report(subject)["opened"]
    assert not opened, f"importing {subject.entry.value} calls {opened[0]}"
