"""A config as a tree that knows where each of its values was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sere_registry.errors import Place, Problem, SereError

Path = tuple[str, ...]
#: what YAML and JSON hold: scalars, and mappings and lists of them
Data = Any


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
        origin: where the beginning of a text was written that a reference brought, and nowhere if the environment did; a
            relative path counts from the folder of this file, or of `start`.
    """

    value: Data
    start: Place
    key: Place | None = None
    dropped: tuple[Dropped, ...] = ()
    origin: Place | None = None

    @property
    def place(self) -> Place:
        """Where to point at: the value itself, or the key above a mapping or list."""
        return self.key if self.key is not None and isinstance(self.value, (dict, list)) else self.start

    def children(self) -> Iterator[tuple[str, Node]]:
        """The named children of a mapping, or the numbered ones of a list."""
        return children(self.value)

    def child(self, name: str) -> Node | None:
        return dict(self.children()).get(name)

    def data(self) -> Data:
        """The value without places."""
        if isinstance(self.value, dict):
            return {name: child.data() for name, child in self.value.items()}
        return [child.data() for child in self.value] if isinstance(self.value, list) else self.value


def plain(data: object, place: Place) -> Node:
    """Plain data as a tree that stands at one place."""
    if isinstance(data, Mapping):
        return Node({str(name): plain(child, place) for name, child in data.items()}, place, place)
    if isinstance(data, (list, tuple)):
        return Node([plain(child, place) for child in data], place, place)
    return Node(data, place, place)


def children(value: Data) -> Iterator[tuple[str, Data]]:
    """The children of a mapping with their keys, of a list with their numbers; none of a single value."""
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from ((str(index), item) for index, item in enumerate(value))


def dotted(path: Path) -> str:
    return ".".join(path)


def at(root: Node, path: Path) -> Node | None:
    """The node at `path`, None if there is none."""
    node: Node | None = root
    for part in path:
        node = None if node is None else node.child(part)
    return node


def block_of(data: Data, path: Path) -> dict[str, Data]:
    """The block of a component in plain data."""
    for part in path:
        data = data[int(part)] if isinstance(data, list) else data[part]
    return data  # type: ignore[no-any-return]


def place_of(root: Node, path: Path, key: bool = False) -> Place:
    """Where `path` was written, or the nearest thing above it that was; `key`: its key rather than its value."""
    node = root
    for part in path:
        below = node.child(part)
        if below is None:
            return replace(node.place, path=dotted(path))
        node = below
    return replace(node.key if key and node.key is not None else node.place, path=dotted(path))


@contextmanager
def noted(problems: list[Problem]) -> Iterator[None]:
    """Add the problems of a `SereError` raised inside to `problems`, and go on."""
    try:
        yield
    except SereError as error:
        problems.extend(error.problems)


def tidy(problems: list[Problem]) -> list[Problem]:
    """The problems in the order of file, line and column: the first at each place, and one for each package of another api."""
    first: dict[Place | str, Problem] = {}
    for problem in problems:
        first.setdefault(problem.message if problem.code == "P105" else problem.place, problem)
    files = list(dict.fromkeys(problem.place.file for problem in problems))

    def order(problem: Problem) -> tuple[int, int, int]:
        return files.index(problem.place.file), problem.place.line or 0, problem.place.column or 0

    return sorted(first.values(), key=order)


def leaves(data: Data, path: Path = ()) -> Iterator[tuple[Path, Data]]:
    """The values of plain data with their paths; empty mappings and lists of single values count as one value.

    >>> list(leaves({"a": {"b": 1, "c": [2, 3]}}))
    [(('a', 'b'), 1), (('a', 'c'), [2, 3])]
    """
    nested = isinstance(data, list) and any(isinstance(item, (dict, list)) for item in data)
    if nested or (isinstance(data, dict) and data):
        for name, child in children(data):
            yield from leaves(child, (*path, str(name)))
    else:
        yield path, data
