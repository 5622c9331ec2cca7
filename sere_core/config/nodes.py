"""A config as a tree that knows where each of its values was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sere_registry.errors import Place, Problem

Path = tuple[str, ...]


@dataclass(frozen=True)
class Dropped:
    """A parameter that went because a later file or `--set` names another component: `of` is the `use` it belonged to."""

    name: str
    of: str
    place: Place


@dataclass(frozen=True)
class Node:
    """A value and where it stands.

    Args:
        value: a scalar, a dict of Nodes, or a list of Nodes.
        start: where the value begins.
        key: where its key stands; None for the root and for the items of lists.
        dropped: of a component's block, the parameters that a changed `use` dropped.
    """

    value: Any
    start: Place
    key: Place | None = None
    dropped: tuple[Dropped, ...] = ()

    @property
    def place(self) -> Place:
        """Where to point at: the value itself, or the key above a mapping or list."""
        return self.key if self.key is not None and isinstance(self.value, (dict, list)) else self.start

    def children(self) -> Iterator[tuple[str, Node]]:
        """The named children of a mapping, or the numbered ones of a list."""
        if isinstance(self.value, dict):
            yield from self.value.items()
        elif isinstance(self.value, list):
            yield from ((str(index), item) for index, item in enumerate(self.value))

    def child(self, name: str) -> Node | None:
        """The child of this name, None if there is none."""
        return dict(self.children()).get(name)

    def data(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {name: child.data() for name, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.data() for child in self.value]
        return self.value


def dotted(path: Path) -> str:
    return ".".join(path)


def at(root: Node, path: Path) -> Node | None:
    """The node at `path`, None if there is none."""
    node: Node | None = root
    for part in path:
        node = None if node is None else node.child(part)
    return node


def place_of(root: Node, path: Path, key: bool = False) -> Place:
    """Where `path` was written, or the nearest thing above it that was; `key`: its key rather than its value."""
    node = root
    for part in path:
        below = node.child(part)
        if below is None:
            return replace(node.place, path=dotted(path))
        node = below
    return replace(node.key if key and node.key is not None else node.place, path=dotted(path))


def tidy(problems: list[Problem]) -> list[Problem]:
    """The problems in the order of file, line and column, and at each place only the first that was found."""
    first: dict[Place, Problem] = {}
    for problem in problems:
        first.setdefault(problem.place, problem)
    files = list(dict.fromkeys(problem.place.file for problem in problems))
    return sorted(first.values(), key=lambda problem: (files.index(problem.place.file), problem.place.line or 0, problem.place.column or 0))
