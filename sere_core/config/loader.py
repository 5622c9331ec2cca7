"""From a file and the command line to a checked config; every mistake found is reported, all in one error."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any, NoReturn

from sere_core.config import overrides
from sere_core.config.blocks import Binder, blocks
from sere_core.config.checks import Checks
from sere_core.config.interpolate import Interpolation
from sere_core.config.messages import show, validate
from sere_core.config.model import Output, RunConfig
from sere_core.config.nodes import Dropped, Node, Path, at, dotted, place_of, tidy
from sere_core.config.resolved import Bound, Resolved
from sere_core.config.sources import Sources
from sere_registry.catalog import Catalog
from sere_registry.errors import Place, Problem, SereError

GRAMMAR = 1
_DEFAULTS = {"dynamics": "sere.none", "method": "sere.joint", "select": "sere.last"}


def load(
    path: str | FilePath,
    *,
    sets: Sequence[str] = (),
    unsets: Sequence[str] = (),
    seed: int | None = None,
    catalog: Catalog | None = None,
    environ: Mapping[str, str] | None = None,
) -> Resolved:
    """Read, merge and check a config.  Imports no component, only the light objects that announce them.

    Args:
        path: a file, or the name of a config that comes with sere.
        sets: changes `a.b=VALUE`; VALUE is YAML.
        unsets: paths to remove.
        seed: replaces the config's.
        catalog: where components are found; default: the installed ones.
        environ: what `${env:X}` reads.

    Raises:
        SereError: with every problem that was found.
    """
    loader = _Loader(Catalog() if catalog is None else catalog, os.environ if environ is None else environ)
    return loader.load(str(path), sets, unsets, seed)


def resolve(root: Node, sources: Sources, catalog: Catalog, environ: Mapping[str, str]) -> Resolved:
    """Check a tree that was merged by other means than `extends`.

    Args:
        root: the whole config.
        sources: which files it came from, and their folders.
        catalog: where components are found.
        environ: what `${env:X}` reads.

    Raises:
        SereError: with every problem that was found.
    """
    return _Loader(catalog, environ).resolve(root, sources)


class _Loader:
    def __init__(self, catalog: Catalog, environ: Mapping[str, str]) -> None:
        self.catalog, self.environ = catalog, environ
        self.problems: list[Problem] = []

    def load(self, path: str, sets: Sequence[str], unsets: Sequence[str], seed: int | None) -> Resolved:
        sources = Sources(self.problems)
        root = sources.tree(path)
        if root is None or any(problem.code in ("C304", "C310") for problem in self.problems):
            self.stop()  # what else is wrong cannot be told without the text
        root = overrides.apply(root, sets, unsets, self.problems)
        if seed is not None:
            here = Place(file=f"--seed {seed}")
            root = replace(root, value={**root.value, "seed": Node(seed, here, here)})
        return self.resolve(root, sources)

    def resolve(self, root: Node, sources: Sources) -> Resolved:
        self.grammar(root)
        root = _with_defaults(root)
        interpolation = Interpolation(root, self.environ, self.problems)
        try:
            root = interpolation.resolve(root)
        except SereError as error:
            self.problems.extend(error.problems)
            self.stop()
        root = replace(root, value={name: child for name, child in root.value.items() if name != "vars"})

        found: list[Problem] = []
        binder = Binder(root, self.catalog, self.plugins(root, found), sources.folders, found)
        components: dict[str, Bound] = {}
        for where, kind in blocks(root):
            bound = binder.bind(where, kind)
            if bound is not None:
                components[dotted(where)] = bound

        def place(below: Path, key: bool) -> Place:
            return place_of(root, below, key)

        _, problems = validate(RunConfig, root.data(), place, "a config", also=("extends", "vars"))
        checks = Checks(root, components)
        checks.run()
        noise = interpolation.unresolved
        for problem in [*found, *problems, *checks.problems]:
            spot = problem.place.path
            if not any(spot == path or spot.startswith(path + ".") for path in noise):
                self.problems.append(problem)
        if self.problems:
            self.stop(binder.cause)
        warnings, files = tuple(tidy(checks.warnings)), tuple(sources.files)
        return Resolved(_filled(root, components), components, warnings, files, _places(root), _dropped(root, components))

    def stop(self, cause: BaseException | None = None) -> NoReturn:
        raise SereError(*tidy(self.problems)) from cause

    def grammar(self, root: Node) -> None:
        version = root.child("sere")
        place = place_of(root, ("sere",))
        if version is None:
            self.problems.append(Problem("C309", "the config does not say its grammar version", f"add the line `sere: {GRAMMAR}`", place))
        elif type(version.value) is not int or version.value != GRAMMAR:
            message = f"the grammar version {show(version.data())} is unknown"
            self.problems.append(Problem("C309", message, f"this sere reads `sere: {GRAMMAR}`", place))
            self.stop()

    def plugins(self, root: Node, problems: list[Problem]) -> tuple[str, ...]:
        """Check what the config requires; return what it disables."""
        required = at(root, ("plugins", "require"))
        for index, item in enumerate(required.value if required is not None and isinstance(required.value, list) else ()):
            if isinstance(item.value, str):
                try:
                    self.catalog.require(item.value, place_of(root, ("plugins", "require", str(index))))
                except SereError as error:
                    problems.extend(error.problems)
        disabled = at(root, ("plugins", "disable"))
        items = disabled.value if disabled is not None and isinstance(disabled.value, list) else ()
        return tuple(item.value for item in items if isinstance(item.value, str))


def _with_defaults(root: Node) -> Node:
    """Components that every run has, and the folder of the record, which refers to the name."""
    start = replace(root.start, line=None, column=None)
    value = dict(root.value)
    for section, use in _DEFAULTS.items():
        value.setdefault(section, Node({"use": Node(use, start, start)}, start, start))
    output = value.get("output", Node({}, start, start))
    if isinstance(output.value, dict) and "dir" not in output.value:
        value["output"] = replace(output, value={**output.value, "dir": Node(Output().dir, start, start)})
    return replace(root, value=value)


def _filled(root: Node, components: Mapping[str, Bound]) -> RunConfig:
    """The config with full names and every parameter of every component."""
    data: Any = root.data()
    for path, bound in components.items():
        block = data
        for part in path.split("."):
            block = block[int(part)] if isinstance(block, list) else block[part]
        block["use"] = bound.use
        block["params"] = bound.params.model_dump(mode="json", by_alias=True)
    return RunConfig.model_validate(data)


def _dropped(root: Node, components: Mapping[str, Bound]) -> dict[str, tuple[Dropped, ...]]:
    """The parameters that changed `use`s dropped and nobody gave again, by component."""
    found: dict[str, tuple[Dropped, ...]] = {}
    for path in components:
        block = at(root, tuple(path.split(".")))
        params = None if block is None else block.child("params")
        given = {} if params is None else dict(params.children())
        gone = () if block is None else tuple(one for one in block.dropped if one.name not in given)
        if gone:
            found[path] = gone
    return found


def _places(root: Node) -> dict[str, Place]:
    places: dict[str, Place] = {"": root.place}

    def visit(node: Node, path: Path) -> None:
        for name, child in node.children():
            places[dotted((*path, name))] = replace(child.place, path=dotted((*path, name)))
            visit(child, (*path, name))

    visit(root, ())
    return places
