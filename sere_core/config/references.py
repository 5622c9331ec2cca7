"""`${vars.x}` and `${env:X}`, and `${name}` and `${seed}` in output.dir; nothing else: a config is data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from sere_core.config.nodes import Node, Path, at, dotted
from sere_core.config.yaml_text import Ambiguous, Scalar, plain
from sere_registry.errors import Place, Problem, suggest

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_OUTPUT_DIR = ("output", "dir")


class _Unresolved(Exception):
    """A reference failed, and the problem is noted where its cause is."""


class References:
    """Resolves the references of one config.

    Args:
        root: the merged config.
        environ: the environment variables.
        problems: gets what cannot be resolved (C306).

    Attributes:
        unresolved: the paths whose values still hold a reference; what is said of them otherwise is noise.
    """

    def __init__(self, root: Node, environ: Mapping[str, str], problems: list[Problem]) -> None:
        self.root, self.environ, self.problems = root, environ, problems
        self.unresolved: set[Path] = set()
        self._vars: dict[Path, Node] = {}
        self._active: list[Path] = []

    def resolve(self, node: Node, path: Path = ()) -> Node:
        """`node` with its references replaced.  A text that is one reference alone takes the type of what it names."""
        if isinstance(node.value, dict):
            return replace(node, value={name: self.resolve(child, (*path, name)) for name, child in node.children()})
        if isinstance(node.value, list):
            return replace(node, value=[self.resolve(child, (*path, name)) for name, child in node.children()])
        if not isinstance(node.value, str) or "${" not in node.value:
            return node
        place = replace(node.start, path=dotted(path))
        try:
            return self._variable(path, place) if path[:1] == ("vars",) else self._text(node, path, place)
        except _Unresolved:
            self.unresolved.add(path)
            return node

    def hides(self, place: Place) -> bool:
        """Is this at or below a value that could not be resolved?"""
        path = tuple(place.path.split("."))
        return any(path[: len(one)] == one for one in self.unresolved)

    def _text(self, node: Node, path: Path, place: Place) -> Node:
        text = str(node.value)
        if text.count("${") != len(_REFERENCE.findall(text)):
            raise self._failure("a ${ has no } that closes it", "write ${vars.x} or ${env:X}", place)
        whole = _REFERENCE.fullmatch(text)
        if whole is not None:
            value = self._value(whole[1], path, place)
            return replace(value, start=node.start, key=node.key, origin=value.origin or value.start)
        words = _REFERENCE.sub(lambda match: self._words(match[1], path, place), text)
        first = _REFERENCE.match(text)
        begins = node if first is None else self._value(first[1], path, place)
        return replace(node, value=words, origin=begins.origin or begins.start)

    def _words(self, reference: str, path: Path, place: Place) -> str:
        if reference.startswith("env:"):
            return self._environment(reference.removeprefix("env:"), place)
        value = self._value(reference, path, place).value
        if isinstance(value, (dict, list)) or value is None:
            hint = "it can only stand alone, without text around it"
            raise self._failure(f"${{{reference}}} is not a single value", hint, place)
        return value if isinstance(value, str) else str(value).lower()

    def _value(self, reference: str, path: Path, place: Place) -> Node:
        if reference.startswith("env:"):
            return Node(_typed(self._environment(reference.removeprefix("env:"), place)), place, origin=Place())
        if reference.startswith("vars."):
            return self._variable(tuple(reference.split(".")), place)
        if reference in ("name", "seed"):
            if path != _OUTPUT_DIR:
                hint = "elsewhere use ${vars.x} or ${env:X}"
                raise self._failure(f"${{{reference}}} may only stand in output.dir", hint, place)
            return self.root.child(reference) or Node(0 if reference == "seed" else "unnamed", place)
        hint = "only ${vars.x} and ${env:X} are known; there are no expressions"
        if at(self.root, ("vars", reference)) is not None:
            hint = f"did you mean ${{vars.{reference}}}?"
        raise self._failure(f"${{{reference}}} cannot be resolved", hint, place)

    def _environment(self, name: str, place: Place) -> str:
        value = self.environ.get(name, "") if name and "=" not in name and "\0" not in name else ""
        if not value:
            state = "empty" if name in self.environ else "not set"
            hint = f"set it before the run: export {name}=..."
            raise self._failure(f"the environment variable {name} is {state}", hint, place)
        if not value.isprintable():
            raise self._failure(f"the environment variable {name} holds characters that are not text", "", place)
        return value

    def _variable(self, path: Path, place: Place) -> Node:
        if path in self._vars:
            return self._vars[path]
        if path in self.unresolved:
            raise _Unresolved
        if path in self._active:
            circle = " -> ".join(dotted(step) for step in [*self._active[self._active.index(path) :], path])
            raise self._failure(f"${{{dotted(path)}}} refers to itself: {circle}", "", place)
        raw = at(self.root, path)
        if raw is None:
            above = at(self.root, path[:-1])
            known = [name for name, _ in above.children()] if above is not None else []
            hint = suggest(path[-1], known, dotted(path[:-1]))
            raise self._failure(f"${{{dotted(path)}}} is not defined", hint, place)
        self._active.append(path)
        try:
            spot = replace(raw.start, path=dotted(path))
            node = self._text(raw, path, spot) if isinstance(raw.value, str) else self.resolve(raw, path)
            if any(one[: len(path)] == path for one in self.unresolved):
                raise _Unresolved
        except _Unresolved:
            self.unresolved.add(path)
            raise
        finally:
            self._active.pop()
        self._vars[path] = node
        return node

    def _failure(self, message: str, hint: str, place: Place) -> _Unresolved:
        self.problems.append(Problem("C306", message, hint, place))
        return _Unresolved()


def _typed(text: str) -> Scalar:
    """A number or truth value if an environment variable looks like one, else its text."""
    try:
        value = plain(text)
    except Ambiguous:
        return text
    return text if value is None else value
