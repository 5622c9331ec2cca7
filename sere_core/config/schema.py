"""Questions to a pydantic model about the paths below it: which keys it knows, and what they mean."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sere_core.config.nodes import Path


def members(annotation: Any) -> list[Any]:
    """The alternatives of an annotation, without `Annotated`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [member for argument in get_args(annotation) for member in members(argument)]
    return [annotation]


def is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by the keys that a config uses."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def keys(annotation: Any) -> list[str] | None:
    """The keys that a mapping of this annotation may have; None where any will do."""
    known = [key for member in members(annotation) if is_model(member) for key in fields(member)]
    return known or None


def below(annotation: Any, name: str) -> Any:
    """The annotation of the child `name`; None if there can be none."""
    for member in members(annotation):
        if member is Any:
            return Any
        if is_model(member) and name in fields(member):
            return fields(member)[name].annotation
        origin, arguments = get_origin(member), get_args(member)
        if member is dict:
            return Any
        if isinstance(origin, type) and issubclass(origin, Mapping) and len(arguments) == 2:
            return arguments[1]
        if isinstance(origin, type) and issubclass(origin, Sequence) and arguments and name.isdigit():
            return arguments[0]
    return None


def walk(annotation: Any, path: Path) -> Any:
    """The annotation at `path`; None if there can be none."""
    for part in path:
        annotation = None if annotation is None else below(annotation, part)
    return annotation


def description(annotation: Any, path: Path) -> str:
    """What the field at `path` means, as its model says; "" if it does not."""
    parent = walk(annotation, path[:-1])
    for member in members(parent):
        if is_model(member) and path and path[-1] in fields(member):
            return fields(member)[path[-1]].description or ""
    return ""


def allows_null(field: FieldInfo) -> bool:
    return any(member in (None, type(None), Any) for member in members(field.annotation))


def without_paths(dumped: Any, annotation: Any) -> Any:
    """What a model dumped, without the fields that are paths of the file system."""
    if isinstance(dumped, list):
        return [without_paths(item, below(annotation, "0")) for item in dumped]
    if not isinstance(dumped, dict):
        return dumped
    return {
        key: without_paths(value, child)
        for key, value in dumped.items()
        if not _mentions_path(child := below(annotation, key))
    }  # fmt: skip


def _mentions_path(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, PurePath):
        return True
    return any(_mentions_path(argument) for argument in get_args(annotation))
