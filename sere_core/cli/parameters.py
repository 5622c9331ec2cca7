"""What a component's parameters are: one row each, from the pydantic model that also checks them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from types import NoneType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from sere_core.config.validation import fields, members, models

_BOUNDS = {
    "gt": "> {}",
    "ge": ">= {}",
    "lt": "< {}",
    "le": "<= {}",
    "multiple_of": "a multiple of {}",
    "min_length": "length >= {}",
    "max_length": "length <= {}",
    "pattern": "matches {}",
}


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Args:
        name: its key below `params`; of a nested model with dots.
        type: as a reader of YAML would say it.
        required: has it no default?
        default: as JSON data; None where it is required.
        bounds: such as ("> 0", "<= 1").
        search: its search range, as `param` was given it; empty for none.
        description: what it means.
    """

    name: str
    type: str
    required: bool
    default: Any
    bounds: tuple[str, ...]
    search: tuple[Any, ...]
    description: str

    @property
    def said_default(self) -> str:
        return "required" if self.required else f"default {json.dumps(self.default, ensure_ascii=False)}"


def markdown(rows: Iterable[Parameter]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield "| parameter | type | default | bounds | meaning |"
    yield "|---|---|---|---|---|"
    for row in rows:
        default = "required" if row.required else f"`{json.dumps(row.default, ensure_ascii=False)}`"
        bounds = ", ".join(f"`{bound}`" for bound in row.bounds)
        cells = (f"`{row.name}`", f"`{row.type}`", default, bounds, row.description)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def parameters(model: type[BaseModel], above: str = "") -> Iterator[Parameter]:
    """The parameters of a model in the order of their declaration, nested models unfolded.

    >>> from sere_registry import Params, param
    >>> class Sharp(Params):
    ...     steps: int | None = param(3, "how many", ge=1, search=("int", 1, 9))
    >>> [(row.name, row.type, row.default, row.bounds) for row in parameters(Sharp)]
    [('steps', 'int or null', 3, ('>= 1',))]
    """
    for key, field in fields(model).items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        search = extra.get("search")
        required = field.is_required()
        yield Parameter(
            name=above + key,
            type=kind_of(field.annotation),
            required=required,
            default=None if required else _default(field),
            bounds=tuple(_bounds([*field.metadata, *_constraints(field.annotation)])),
            search=tuple(search) if isinstance(search, (list, tuple)) else (),
            description=field.description or next(((model.__doc__ or "").strip() for model in models(field.annotation)), ""),
        )
        for inner in models(field.annotation):
            yield from parameters(inner, f"{above}{key}.")


def kind_of(annotation: object) -> str:
    """A type as a reader of YAML would say it.

    >>> kind_of(Literal["a", 5]), kind_of(int | None), kind_of(tuple[str, ...]), kind_of(dict[str, float])
    ("'a' or 5", 'int or null', 'list of str', 'map of str to float')
    """
    alternatives = members(annotation)
    if len(alternatives) > 1:
        return " or ".join(dict.fromkeys(kind_of(one) for one in alternatives))
    (one,) = alternatives
    origin, inner = get_origin(one), [part for part in get_args(one) if part is not Ellipsis]
    if origin is Literal:
        return " or ".join(repr(choice) for choice in inner)
    if origin is not None and issubclass(origin, dict):
        return f"map of {kind_of(inner[0])} to {kind_of(inner[1])}"
    if origin is not None:
        return f"list of {kind_of(Union[tuple(inner)])}" if inner else "list"  # noqa: UP007 - built from a tuple
    if one is NoneType or one is None:
        return "null"
    if isinstance(one, type):
        return "path" if issubclass(one, PurePath) else "map" if models(one) else one.__name__
    return str(one)


def _default(field: FieldInfo) -> Any:
    if field.default_factory is not None and field.default_factory_takes_validated_data:
        return None  # it depends on other parameters
    return to_jsonable_python(field.get_default(call_default_factory=True), fallback=repr)


def _constraints(annotation: object) -> Iterator[object]:
    """The constraints inside `Annotated`, which pydantic leaves where they are."""
    for one in getattr(annotation, "__metadata__", ()):
        yield from one.metadata if isinstance(one, FieldInfo) else [one]
    for argument in get_args(annotation) if get_origin(annotation) is not Literal else ():
        yield from _constraints(argument)


def _bounds(constraints: Iterable[object]) -> Iterator[str]:
    for constraint in constraints:
        for name, text in _BOUNDS.items():
            value = getattr(constraint, name, None)
            if value is not None:
                yield text.format(value)
