"""The ranges that a config's components declare for their parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sere_core.compare.explain import below
from sere_core.config import Resolved

_KINDS = ("log", "uniform", "int", "choice")


@dataclass(frozen=True)
class Range:
    """What one parameter may be.

    Args:
        path: in the config, e.g. "losses.adapt.params.ridge".
        kind: "log", "uniform" or "int", or "choice".
        values: lowest and highest; of a choice, the values.
        whole: whether only whole numbers are meant.
    """

    path: str
    kind: str
    values: tuple[Any, ...]
    whole: bool = False


def ranges_of(resolved: Resolved, paths: Sequence[str]) -> tuple[Range, ...]:
    """The declared ranges at or below these paths, in the order of their names.

    Args:
        resolved: the config of a row.
        paths: of parameters, or of what is above them.
    """
    found: list[Range] = []
    for path, bound in resolved.components.items():
        for name, about in type(bound.params).model_fields.items():
            extra = about.json_schema_extra
            search = extra.get("search") if isinstance(extra, Mapping) else None
            where = f"{path}.params.{name}"
            if isinstance(search, (list, tuple)) and any(below(where, one) for one in paths):
                found.append(_range(where, search, about.annotation is int))
    return tuple(sorted(found, key=lambda one: one.path))


def unused(resolved: Sequence[Resolved], paths: Sequence[str]) -> dict[str, str]:
    """Of the paths, those below which no config declares a range -> why."""
    bounds = [(path, bound) for one in resolved for path, bound in one.components.items()]
    every = {f"{path}.params.{name}" for path, bound in bounds for name in type(bound.params).model_fields}
    searched = {each.path for one in resolved for each in ranges_of(one, paths)}
    found: dict[str, str] = {}
    for path in paths:
        if not any(below(one, path) for one in searched):
            there = any(below(one, path) for one in every)
            found[path] = "declares no range" if there else "is no parameter of any row"
    return found


def _range(path: str, search: Sequence[Any], whole: bool) -> Range:
    kind = str(search[0])
    if kind == "choice":
        return Range(path, kind, tuple(search[1]))
    return Range(path, kind, tuple(search[1:3]), whole or kind == "int")
