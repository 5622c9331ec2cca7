"""`sere doctor`: is this environment fit for a run?  Read from metadata, files and programs; nothing heavy is imported."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tomllib
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rich.filesize import decimal

import sere_core
from sere_core.cli.arguments import Subparsers, add_command, print_json
from sere_core.cli.plugins import HARMLESS, diagnose
from sere_registry.catalog import Catalog
from sere_registry.errors import Problem, counted
from sere_registry.files import cache_folder
from sere_registry.scan import canonical

_MARKS = {"ok": "ok  ", "note": "note", "bad": "BAD "}
_TORCHCREPE = "0.0.22"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: its name, what was found, what is wrong, and does it leave runs as they are (a note)?"""

    name: str
    text: str
    problem: Problem | None = None
    note: bool = False

    @property
    def state(self) -> str:
        return "note" if self.note else "bad" if self.problem else "ok"

    def data(self) -> dict[str, str]:
        about = {"name": self.name, "state": self.state, "text": self.text}
        told = () if self.problem is None else ("code", "message", "hint")
        return about | {name: getattr(self.problem, name) for name in told}


_EXAMPLES = """\
examples:
  sere doctor
  sere doctor --deep   # after a disk or a backup went wrong
  sere doctor --json"""


def add_parser(subparsers: Subparsers) -> None:
    parser = add_command(subparsers, "doctor", run, _EXAMPLES, json=True)
    parser.add_argument("--deep", action="store_true", help="also read in full all files whose digests are remembered, and all features")


def run(arguments: Namespace, catalog: Catalog | None = None) -> int:
    """Print what there is and what is wrong; 4 if the environment is broken, 3 if only plugins are, else 0."""
    findings = [*examine(), *examine_plugins(catalog or Catalog()), *(examine_cache() if arguments.deep else ())]
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
    broken = [problem for _, problem in problems if problem.code not in HARMLESS]
    text = f"{len(catalog.entries)} components announced, {len(broken)} broken"
    yield Finding("plugins", text, broken[0] if broken else None)
    for entry, problem in problems:
        name = f"plugin {entry.distribution}" if entry else "plugin"
        what = f"{entry.kind} {entry.full_name}: " if entry else ""
        yield Finding(name, f"{what}{problem.code}, see below", problem, problem.code in HARMLESS)


def examine() -> Iterator[Finding]:
    """Python, sere, what it requires, torch and its companions, devices, the cache, extras."""
    yield python()
    yield from sere()
    yield from requirements()
    yield from torch()
    yield devices()
    yield cache()
    yield from extras()


def python() -> Finding:
    """The interpreter, and whether sere supports it."""
    found, version = _metadata("sere"), platform.python_version()
    wanted = "" if found is None else str(found.metadata["Requires-Python"] or "")
    problem = None
    if not SpecifierSet(wanted).contains(version, prereleases=True):
        message = f"sere needs Python {wanted}, this is {version}"
        problem = Problem("X701", message, "make a virtual environment with another Python")
    return Finding("python", f"{version} ({sys.executable})", problem)


def sere() -> Iterator[Finding]:
    """The version, where it lies, and whether its entry points are those of the checkout."""
    folder, found = Path(sere_core.__file__).parent, _metadata("sere")
    if found is None:
        message = "sere is imported, but not installed: no component can be found"
        problem = Problem("X701", message, "pip install -e . in the checkout")
        yield Finding("sere", f"{sere_core.__version__} ({folder})", problem)
        return
    yield Finding("sere", f"{found.version} ({folder})")
    project = folder.parent / "pyproject.toml"
    installed = {(point.group, point.name) for point in found.entry_points}
    stale = sorted(_declared(project) ^ installed) if project.is_file() else []
    if stale:
        names = ", ".join(name for _, name in stale)
        message = f"the checkout's entry points are not those that were installed: {names}"
        problem = Problem("X701", message, "pip install -e . again")
        yield Finding("checkout", f"entry points that differ from pyproject.toml: {len(stale)}", problem)


def requirements() -> Iterator[Finding]:
    """What sere requires and is not there, or in another version."""
    everything, right = list(_required("")), True
    for wanted, version in everything:
        if version is None or not wanted.specifier.contains(version, prereleases=True):
            state = "is not installed" if version is None else f"is installed as {version}"
            text, right = f"{wanted.name}{wanted.specifier}", False
            problem = Problem("X701", f"sere needs {text}, which {state}", f'pip install "{text}"')
            yield Finding(wanted.name, version or "not installed", problem)
    if right:
        yield Finding("requirements", f"all {len(everything)} installed")


def torch() -> Iterator[Finding]:
    """torch's version and build; a torchaudio that cannot work with it; the pin of torchcrepe."""
    found, audio, crepe = map(_metadata, ("torch", "torchaudio", "torchcrepe"))
    if found is None:
        return  # a missing requirement, said above
    version, cuda = _build(found)
    yield Finding("torch", f"{version} ({f'CUDA {cuda}' if cuda else 'CPU build'})")
    if audio is not None:
        yield _torchaudio(audio, version, cuda)
    if crepe is not None:
        message = f"torchcrepe {crepe.version} needs torchaudio, which breaks its import with CPU builds of torch"
        problem = Problem("X701", message, f"pip install torchcrepe=={_TORCHCREPE}")
        fits = crepe.version == _TORCHCREPE
        yield Finding("torchcrepe", f"{crepe.version} (pinned: {_TORCHCREPE})", None if fits else problem)


def devices() -> Finding:
    """What a run could use, by the driver's program and the platform; torch would know more and take seconds."""
    cores, found = f"{os.cpu_count()} CPU cores", _metadata("torch")
    if shutil.which("nvidia-smi"):
        message = "there is an NVIDIA driver, but torch is a CPU build: runs use the CPU"
        problem = Problem("X702", message, "install the CUDA build of torch")
        idle = found is not None and not _build(found)[1]
        return Finding("devices", f"{cores}, NVIDIA driver present", problem if idle else None, note=idle)
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return Finding("devices", f"{cores}, {'mps' if apple else 'no GPU (no nvidia-smi)'}")


def cache() -> Finding:
    """The folder of extracted features: its size, whether it can be written, what is free."""
    folder = above = cache_folder()
    hint = "name another folder in SERE_CACHE or features.cache"
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        unwritable = Problem("X704", f"the cache folder {folder} cannot be written", hint)
        return Finding("cache", str(folder), unwritable)
    sizes = [path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()]
    free = shutil.disk_usage(above).free
    state = f"{counted(len(sizes), 'file')}, {decimal(sum(sizes))}" if folder.exists() else "not made yet"
    full = free < 1 << 30
    problem = Problem("X705", f"only {decimal(free)} are free where the cache is", hint) if full else None
    return Finding("cache", f"{folder} ({state}, {decimal(free)} free)", problem, note=full)


def examine_cache() -> Iterator[Finding]:
    """Are the digests that are remembered those of the files, and the cached features whole?"""
    from sere_core.console import Speaker
    from sere_core.content import Contents
    from sere_core.features.cache import Cache

    speaker = Speaker(quiet=False, stderr=True)
    with speaker.bar("digests") as tell:
        count, wrong = Contents(cache_folder(), progress=tell).verify()
    text, problem = f"{counted(count, 'file')} read in full, {len(wrong)} not as remembered", None
    if wrong:
        message = f"changed, though size and times are as they were: {', '.join(map(str, wrong[:5]))}"
        problem = Problem("T505", message, "runs since then took them for what they were; --fresh runs them again")
    yield Finding("digests", text, problem)
    held = Cache(cache_folder())
    with speaker.bar("features") as tell:
        keys = held.keys()
        damaged = 0
        for number, key in enumerate(keys, start=1):
            damaged += held.sound(key) is None
            tell(number, len(keys))
    yield Finding("features", f"{len(keys)} in the cache, {damaged} damaged, which are made again when wanted", note=damaged > 0)


def extras() -> Iterator[Finding]:
    """The optional parts of sere, except the developers'."""
    found = _metadata("sere")
    names = [] if found is None else found.metadata.get_all("Provides-Extra") or []
    for name in sorted({*names} - {"dev"}):
        missing = any(version is None for _, version in _required(name))
        text = f'not installed (pip install "sere[{name}]")' if missing else "installed"
        yield Finding(f"extra {name}", text, note=missing)


def _metadata(name: str) -> importlib.metadata.Distribution | None:
    try:
        found = importlib.metadata.distribution(name)
        return found if found.version else None
    except Exception:  # not installed, or with damaged metadata, which is as good as that
        return None


def _required(extra: str) -> Iterator[tuple[Requirement, str | None]]:
    """The requirements of sere that hold here, by themselves or for an extra, with the installed version."""
    found = _metadata("sere")
    for wanted in map(Requirement, (found.requires or ()) if found is not None else ()):
        always = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        if always if not extra else (not always and wanted.marker is not None and wanted.marker.evaluate({"extra": extra})):
            there = _metadata(wanted.name)
            yield wanted, None if there is None else there.version


def _declared(project: Path) -> set[tuple[str, str]]:
    """The entry points and scripts of a pyproject.toml."""
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
    libraries = Path(str(audio.locate_file("torchaudio"))).rglob("*.so")
    linked = not cuda and ("+cu" in theirs or any(b"libcudart" in file.read_bytes() for file in libraries))
    if release[0] == release[1] and not linked:
        return Finding("torchaudio", f"{theirs}; sere does not need it", note=True)
    why = f"is linked to CUDA, torch {version} is a CPU build" if linked else f"does not fit torch {version}"
    message = f"torchaudio {theirs} {why}: importing transformers models fails"
    return Finding("torchaudio", theirs, Problem("X701", message, "pip uninstall torchaudio; sere does not need it"))
