"""Writes `docs/components.md`, the page of all components, from their declarations: `python docs/make_components.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic_core import PydanticUndefined, to_jsonable_python

from sere_registry.catalog import Catalog
from sere_registry.entries import Entry
from sere_registry.kinds import FIRST_PARTY, GROUPS

PAGE = Path(__file__).with_name("components.md")

_INTRODUCTION = """\
# Components

Written by `docs/make_components.py` from the declarations: change those, then run it again.

`use` takes the short name while it is unique, or the full one. Parameters stand under `params`. *Evidence* says how near a
component is to its source: *confirmed* against the authors' code or equations, *reconstructed* from a description, or a *stand-in*.
"""
#: attribute of a constraint -> how it is written
_BOUNDS = {
    "gt": "> {}",
    "ge": "≥ {}",
    "lt": "< {}",
    "le": "≤ {}",
    "min_length": "length ≥ {}",
    "max_length": "length ≤ {}",
    "pattern": "matches {}",
}


def page() -> str:
    """The whole page."""
    catalog = Catalog(environ={})
    known = [catalog.find(entry.kind, entry.full_name) for entry in catalog.entries if entry.distribution == FIRST_PARTY]
    parts = [_INTRODUCTION]
    for kind, group in GROUPS.items():
        parts.append(f"## {group.partition('.')[2].capitalize()}\n\nKind `{kind}`, entry-point group `{group}`.\n")
        parts += ["\n".join(_component(entry)) + "\n" for entry in known if entry.kind == kind]
    return "\n".join(parts)


def _component(entry: Entry) -> Iterator[str]:
    spec = entry.spec
    yield f"### `{entry.full_name}`\n"
    yield f"{spec.summary}\n"
    yield f"- evidence: {spec.evidence}"
    if spec.cite:
        yield f"- source: {spec.cite}"
    if spec.tags:
        yield f"- tags: {', '.join(spec.tags)}"
    if spec.needs:
        yield f"- needs: {', '.join(need.partition(':')[0] for need in spec.needs)}"
    yield ""
    if not spec.params.model_fields:
        yield "No parameters."
        return
    yield "| parameter | type | default | bounds | meaning |"
    yield "|---|---|---|---|---|"
    for name, about in spec.params.model_fields.items():
        cells = (f"`{name}`", _type(about.annotation), _default(about.default), _bounds(about.metadata), about.description or "")
        yield f"| {' | '.join(map(_cell, cells))} |"


def _type(annotation: Any) -> str:
    """A type as a reader of YAML would say it.

    >>> _type(Literal["a", 5]), _type(int | None), _type(tuple[str, ...])
    ('`a`, `5`', 'int or null', 'list of str')
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in inner)
    if origin in (Union, UnionType):
        return " or ".join(_type(part) for part in inner)
    if origin is tuple:
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"map of {_type(inner[0])} to {_type(inner[1])}"
    if annotation is NoneType:
        return "null"
    return "path" if annotation is Path else str(annotation.__name__)


def _default(value: Any) -> str:
    return "required" if value is PydanticUndefined else f"`{json.dumps(to_jsonable_python(value), ensure_ascii=False)}`"


def _bounds(constraints: list[Any]) -> str:
    found = [
        text.format(f"`{getattr(constraint, name)}`" if name == "pattern" else getattr(constraint, name))
        for constraint in constraints
        for name, text in _BOUNDS.items()
        if getattr(constraint, name, None) is not None
    ]
    return ", ".join(found)


def _cell(text: str) -> str:
    """A `|` would end the cell."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
