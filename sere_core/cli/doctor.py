"""`sere doctor`: is this environment fit for a run?  Read from metadata, files and programs; nothing heavy is imported."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sere_core.cli.arguments import Subparsers, add_command, print_json
from sere_core.cli.plugins import HARMLESS, diagnose
from sere_registry.catalog import Catalog
from sere_registry.errors import Problem
from sere_registry.files import cache_folder
from sere_registry.scan import canonical

if TYPE_CHECKING:
    from packaging.requirements import Requirement


_MARKS = {"ok": "ok  ", "note": "note", "bad": "BAD "}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: its name, whether it is as it should be, what was found, and what to do."""

    name: str
    state: Literal["ok", "note", "bad"]
    text: str
    problem: Problem | None = None

    def data(self) -> dict[str, str]:
        about = {"name": self.name, "state": self.state, "text": self.text}
        if self.problem is None:
            return about
        return {**about, "code": self.problem.code, "message": self.problem.message, "hint": self.problem.hint}


def add_parser(subparsers: Subparsers) -> None:
    add_command(subparsers, "doctor", "is this environment fit for a run?", run, json=True)


def run(arguments: Namespace, catalog: Catalog | None = None) -> int:
    """Print what there is and what is wrong; 4 if the environment is broken, 3 if only plugins are, else 0."""
    findings = [*examine(), *examine_plugins(catalog or Catalog())]
    bad = [finding.problem.code for finding in findings if finding.problem is not None and finding.state == "bad"]
    code = 0 if not bad else 4 if any(one.startswith("X") for one in bad) else 3
    if arguments.json:
        print_json({"ok": code == 0, "findings": [finding.data() for finding in findings]})
        return code
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{_MARKS[finding.state]}  {finding.name.ljust(width)}  {finding.text}")
    for finding in findings:
        if finding.problem is not None:
            print(f"\n{finding.problem}")
    return code


def examine_plugins(catalog: Catalog) -> Iterator[Finding]:
    """How many components there are, and what is wrong with some."""
    problems = diagnose(catalog)
    broken = sum(problem.code not in HARMLESS for _, problem in problems)
    text = f"{len(catalog.entries)} components announced, {broken} broken"
    yield Finding("plugins", "bad" if broken else "ok", text)
    for entry, problem in problems:
        name = f"plugin {entry.distribution}" if entry else "plugin"
        what = f"{entry.kind} {entry.full_name}: " if entry else ""
        yield Finding(name, "note" if problem.code in HARMLESS else "bad", f"{what}{problem.code}, see below", problem)


def examine() -> Iterator[Finding]:
    """Python, sere, what it requires, torch and its companions, devices, the cache, extras."""
    yield python()
    for part in (sere, requirements, torch):
        yield from part()
    yield devices()
    yield cache()
    yield from extras()


def python() -> Finding:
    """The interpreter, and whether sere supports it."""
    from packaging.specifiers import SpecifierSet

    text = f"{platform.python_version()} ({sys.executable})"
    found = _metadata("sere")
    wanted = "" if found is None else str(found.metadata["Requires-Python"] or "")
    fits = SpecifierSet(wanted).contains(platform.python_version(), prereleases=True)
    if fits:
        return Finding("python", "ok", text)
    message = f"sere needs Python {wanted}, this is {platform.python_version()}"
    problem = Problem("X701", message, "make a virtual environment with another Python")
    return Finding("python", "bad", text, problem)


def sere() -> Iterator[Finding]:
    """The version, where it lies, and whether its entry points are those of the checkout."""
    import sere_core

    folder = Path(sere_core.__file__).parent
    found = _metadata("sere")
    if found is None:
        problem = Problem("X701", "sere is imported, but not installed: no component can be found", "pip install -e . in the checkout")
        yield Finding("sere", "bad", f"{sere_core.__version__} ({folder})", problem)
        return
    yield Finding("sere", "ok", f"{found.version} ({folder})")
    project = folder.parent / "pyproject.toml"
    if project.is_file():
        stale = sorted(_declared(project) ^ {(point.group, point.name) for point in found.entry_points})
        if stale:
            names = ", ".join(name for _, name in stale)
            problem = Problem("X701", f"the checkout's entry points are not those that were installed: {names}", "pip install -e . again")
            yield Finding("checkout", "bad", f"{len(stale)} entry points differ from pyproject.toml", problem)


def requirements() -> Iterator[Finding]:
    """What sere requires and is not there, or in another version."""
    everything = list(_required(""))
    wrong = [(wanted, there) for wanted, there in everything if there is None or not wanted.specifier.contains(there, prereleases=True)]
    if not wrong:
        yield Finding("requirements", "ok", f"all {len(everything)} installed")
    for wanted, version in wrong:
        state = "is not installed" if version is None else f"is installed as {version}"
        text = f"{wanted.name}{wanted.specifier}"
        problem = Problem("X701", f"sere needs {text}, which {state}", f'pip install "{text}"')
        yield Finding(wanted.name, "bad", version or "not installed", problem)


def torch() -> Iterator[Finding]:
    """torch's version and build; a torchaudio that cannot work with it; the pin of torchcrepe."""
    found = _metadata("torch")
    if found is None:
        return  # a missing requirement, said above
    version, cuda = _build(found)
    yield Finding("torch", "ok", f"{version} ({f'CUDA {cuda}' if cuda else 'CPU build'})")
    audio = _metadata("torchaudio")
    if audio is not None:
        yield _torchaudio(audio, version, cuda)
    crepe = _metadata("torchcrepe")
    if crepe is not None:
        fits = crepe.version == "0.0.22"
        message = f"torchcrepe {crepe.version} needs torchaudio, which breaks its import with CPU builds of torch"
        problem = None if fits else Problem("X701", message, "pip install torchcrepe==0.0.22")
        yield Finding("torchcrepe", "ok" if fits else "bad", f"{crepe.version} (pinned: 0.0.22)", problem)


def devices() -> Finding:
    """What a run could use, by the driver's program and the platform; torch would know more and take seconds."""
    cores = f"{os.cpu_count()} CPU cores"
    found = _metadata("torch")
    cuda = "" if found is None else _build(found)[1]
    if shutil.which("nvidia-smi"):
        if cuda or found is None:
            return Finding("devices", "ok", f"{cores}, NVIDIA driver present")
        message = "there is an NVIDIA driver, but torch is a CPU build: runs use the CPU"
        problem = Problem("X702", message, "install the CUDA build of torch")
        return Finding("devices", "note", f"{cores}, NVIDIA driver present", problem)
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return Finding("devices", "ok", f"{cores}, mps")
    return Finding("devices", "ok", f"{cores}, no GPU (no nvidia-smi)")


def cache() -> Finding:
    """The folder of extracted features: its size, whether it can be written, what is free."""
    from rich.filesize import decimal

    folder = above = cache_folder()
    elsewhere = "name another folder in SERE_CACHE or features.cache"
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        problem = Problem("X704", f"the cache folder {folder} cannot be written", elsewhere)
        return Finding("cache", "bad", str(folder), problem)
    sizes = [path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()]
    free = shutil.disk_usage(above).free
    state = f"{len(sizes)} files, {decimal(sum(sizes))}" if folder.exists() else "not made yet"
    if free < 1 << 30:
        problem = Problem("X705", f"only {decimal(free)} are free where the cache is", elsewhere)
        return Finding("cache", "note", f"{folder} ({state}, {decimal(free)} free)", problem)
    return Finding("cache", "ok", f"{folder} ({state}, {decimal(free)} free)")


def extras() -> Iterator[Finding]:
    """The optional parts of sere, except the developers'."""
    found = _metadata("sere")
    names = [] if found is None else [name for name in found.metadata.get_all("Provides-Extra") or [] if name != "dev"]
    for name in sorted(names):
        missing = [wanted.name for wanted, version in _required(name) if version is None]
        text = f'not installed (pip install "sere[{name}]")' if missing else "installed"
        yield Finding(f"extra {name}", "note" if missing else "ok", text)


def _metadata(name: str) -> importlib.metadata.Distribution | None:
    try:
        found = importlib.metadata.distribution(name)
        return found if found.version else None
    except Exception:  # not installed, or with damaged metadata, which is as good as that
        return None


def _required(extra: str) -> Iterator[tuple[Requirement, str | None]]:
    """The requirements of sere that hold here, by themselves or for an extra, with the installed version."""
    from packaging.requirements import Requirement

    found = _metadata("sere")
    for wanted in map(Requirement, (found.requires or ()) if found is not None else ()):
        always = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        if always if not extra else (not always and wanted.marker is not None and wanted.marker.evaluate({"extra": extra})):
            there = _metadata(wanted.name)
            yield wanted, None if there is None else there.version


def _declared(project: Path) -> set[tuple[str, str]]:
    """The entry points and scripts of a pyproject.toml."""
    import tomllib

    try:
        about = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):
        return set()
    if canonical(str(about.get("name", ""))) != "sere":
        return set()
    points = {(group, name) for group, names in about.get("entry-points", {}).items() for name in names}
    return points | {("console_scripts", name) for name in about.get("scripts", {})}


def _build(found: importlib.metadata.Distribution) -> tuple[str, str]:
    """Version and CUDA version ("" for a CPU build) as the distribution's own version.py says, without running it."""
    try:
        text = Path(str(found.locate_file(f"{canonical(found.name)}/version.py"))).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return found.version, "" if "+cpu" in found.version else found.version.partition("+cu")[2]
    said = dict(re.findall(r"""(?m)^(__version__|cuda)\b.*= *["'](.*)["']""", text))
    return said.get("__version__", found.version), said.get("cuda", "")


def _torchaudio(audio: importlib.metadata.Distribution, version: str, cuda: str) -> Finding:
    """torchaudio is not needed; one that does not fit torch breaks imports of torchcrepe and transformers."""
    theirs = audio.version
    release = [text.partition("+")[0].split(".")[:2] for text in (theirs, version)]
    linked = "+cu" in theirs or any(b"libcudart" in file.read_bytes() for file in Path(str(audio.locate_file("torchaudio"))).rglob("*.so"))
    if release[0] == release[1] and not (linked and not cuda):
        return Finding("torchaudio", "note", f"{theirs}; sere does not need it")
    why = f"is linked to CUDA, torch {version} is a CPU build" if linked and not cuda else f"does not fit torch {version}"
    message = f"torchaudio {theirs} {why}: importing transformers models fails"
    problem = Problem("X701", message, "pip uninstall torchaudio; sere does not need it")
    return Finding("torchaudio", "bad", theirs, problem)
