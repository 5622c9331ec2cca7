"""The component blocks of a config: finding each component, and checking its parameters against its own model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from sere_core.config.messages import show, validate
from sere_core.config.nodes import Node, Path, at, dotted, place_of
from sere_core.config.resolved import Bound
from sere_core.config.schema import allows_null, fields
from sere_registry.catalog import Catalog
from sere_registry.entries import WORDS, Entry, noun
from sere_registry.errors import Place, Problem, SereError
from sere_registry.kinds import Kind

_MAPS: dict[str, Kind] = {"corpora": "corpus", "encoders": "encoder", "losses": "loss", "hooks": "hook"}
_SINGLE: dict[str, Kind] = {"dynamics": "dynamics", "resonance": "resonance", "method": "method", "select": "selector"}


def blocks(root: Node) -> Iterator[tuple[Path, Kind]]:
    """The paths of all component blocks, with the kind that each must be."""
    for section, kind in _MAPS.items():
        node = root.child(section)
        if node is not None and isinstance(node.value, dict):
            yield from (((section, name), kind) for name in node.value)
    yield from (((section,), kind) for section, kind in _SINGLE.items() if root.child(section) is not None)
    for strength in ("weak", "strong"):
        node = at(root, ("views", strength))
        if node is not None and isinstance(node.value, list):
            yield from ((("views", strength, str(index)), "view") for index in range(len(node.value)))


class Binder:
    """Binds blocks to components.

    Args:
        root: the merged and interpolated config.
        catalog: where components are found.
        disable: distributions that must not be used.
        folders: file as shown in messages -> its folder, from which `file:` components are named.
        problems: gets all that is wrong.
    """

    def __init__(
        self, root: Node, catalog: Catalog, disable: tuple[str, ...], folders: Mapping[str, FilePath], problems: list[Problem]
    ) -> None:
        self.root, self.catalog, self.disable, self.folders, self.problems = root, catalog, disable, folders, problems
        self.cause: BaseException | None = None

    def bind(self, path: Path, kind: Kind) -> Bound | None:
        """The component of the block at `path`; None if something is wrong with it."""
        node = at(self.root, path)
        if node is None:
            return None
        if not isinstance(node.value, dict):
            hint = f"write {{use: {node.value}}}" if isinstance(node.value, str) else ""
            self.problems.append(Problem("C302", f"should be a mapping, not {show(node.data())}", hint, place_of(self.root, path)))
            return None
        use = node.child("use")
        where = place_of(self.root, (*path, "use"))
        if use is None:
            names = ", ".join(self.catalog.names(kind)) or "none"
            message = f"this block does not say which {noun(kind)} to use"
            self.problems.append(Problem("C303", message, f"add `use: NAME`; {noun(kind)} names: {names}", where))
            return None
        if not isinstance(use.value, str) or not use.value:
            self.problems.append(Problem("C302", f"should be the name of {WORDS[kind]}, not {show(use.data())}", "", where))
            return None
        name = self._absolute(use.value, use.start)
        try:
            entry = self.catalog.find(kind, name, where, self.disable)
        except SereError as error:
            self.cause = self.cause or error.__cause__
            self.problems.extend(error.problems)
            return None
        return self._params(path, node, entry, name)

    def _params(self, path: Path, node: Node, entry: Entry, name: str) -> Bound | None:
        spec = entry.spec
        full_name = f"local.{spec.name}" if entry.local else entry.full_name
        params = node.child("params")
        given: Any = {} if params is None or params.value is None else params.data()
        if not isinstance(given, dict):
            return None  # the section's own model says that it should be a mapping
        known = fields(spec.params)
        given = {key: value for key, value in given.items() if value is not None or key not in known or allows_null(known[key])}

        def place(below: Path, key: bool) -> Place:
            return place_of(self.root, (*path, "params", *below), key)

        try:
            checked, problems = validate(spec.params, given, place, full_name)
        except Exception as cause:  # a validator of the plugin is broken
            message = f"{spec.kind} '{full_name}' of {entry.owner} could not check its parameters: {type(cause).__name__}: {cause}"
            self.cause = self.cause or cause
            self.problems.append(Problem("B401", message, "--traceback shows where", place((), False)))
            return None
        self.problems.extend(problems)
        if checked is None:
            return None
        use = name if entry.local else full_name
        where = replace(node.place, path=dotted(path))
        return Bound(spec, full_name, entry.distribution, entry.version, checked, dotted(path), use, where)

    def _absolute(self, use: str, start: Place) -> str:
        """`file:./x.py:SPEC` with the path taken from the folder of the file in which it stands."""
        if not use.startswith("file:"):
            return use
        where, _, attribute = use.removeprefix("file:").rpartition(":")
        if not where:
            return use
        return f"file:{(self.folders.get(start.file, FilePath.cwd()) / where).resolve()}:{attribute}"
