"""Reading what distributions and files announce."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from sere_registry.entries import Entry
from sere_registry.errors import Place, error, suggest
from sere_registry.files import read_file
from sere_registry.kinds import GROUPS, Kind
from sere_registry.params import Params
from sere_registry.spec import ComponentSpec

#: bytes of a file with components: no source is as long
MOST = 2**24
KINDS: dict[str, Kind] = {group: kind for kind, group in GROUPS.items()}


def canonical(name: str) -> str:
    """The normal form of a distribution's name.

    >>> canonical("Sere_Plugin.-XYZ")
    'sere-plugin-xyz'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_version(name: str) -> str | None:
    """The version of a distribution, None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None


def installed_entries(notes: list[str]) -> list[Entry]:
    """The components that the installed distributions announce; `notes` gets those whose metadata cannot be read."""
    found: dict[str, list[Entry]] = {}
    for distribution in importlib.metadata.distributions():
        try:
            told = distribution.read_text("entry_points.txt") or ""
            points = [point for point in distribution.entry_points if point.group in KINDS] if "sere." in told else []
            name = str(distribution.name or "a distribution without a name") if points else ""
            if points and canonical(name) not in found:  # the first on the path counts
                about = name, str(distribution.version or ""), tuple(distribution.requires or ())
                entries = [Entry(KINDS[point.group], point.name, point.value, *about, point.load) for point in points]
                found[canonical(name)] = entries
        except Exception as cause:  # damaged metadata must not hide all others
            where = getattr(distribution, "_path", "a distribution")
            notes.append(f"{where}: its metadata cannot be read ({type(cause).__name__}: {cause})")
    return [entry for entries in found.values() for entry in entries]


def local_entry(kind: Kind, name: str, place: Place) -> Entry:
    """The entry of `file:PATH:ATTRIBUTE`: a component without a package.  Its version is a digest of the file.

    Raises:
        SereError: C302 (not that form), C304 (no such file).
    """
    where, _, attribute = name.removeprefix("file:").rpartition(":")
    if not where or not attribute.isidentifier():
        hint = "write file:PATH:ATTRIBUTE, e.g. file:./my_loss.py:SPEC"
        raise error("C302", f"'{name}' does not say which object of which file", hint, place)
    path = Path(where).absolute()
    try:
        version = hashlib.sha256(read_file(path, MOST)).hexdigest()[:12]
    except (OSError, ValueError) as cause:
        message = f"the file of '{name}' cannot be read: {getattr(cause, 'strerror', cause)}"
        raise error(
            "C304", message, "a path in a config begins at the config's folder, one on the command line at the working directory", place
        ) from None

    def load() -> object:
        module = _module(path)
        if not hasattr(module, attribute):
            specs = [name for name, value in vars(module).items() if isinstance(value, ComponentSpec)]
            raise AttributeError(f"{path.name} has no '{attribute}'; {suggest(attribute, specs, 'specs in it')}")
        return getattr(module, attribute)

    return Entry(kind, f"local.{path.stem}", name, str(path), version, (), load, local=True)


class Unread(Params, extra="allow"):
    """The parameters of a component that is not imported, as a config writes them."""


def unread(entry: Entry) -> Entry:
    """A component that is not imported: nobody knows what it says of itself, and nobody can build it."""
    spec = ComponentSpec(entry.kind, entry.short_name, "builtins:dict", "not imported", Unread)
    return replace(entry, state="listed", loaded=spec)


def _module(path: Path) -> ModuleType:
    """Import a file, once as it is, under a name of its own, so that a spec in it may say `factory=f"{__name__}:MyLoss"`."""
    name = f"sere_local_{path.stem}_{hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
