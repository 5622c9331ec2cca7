"""Checking data against a pydantic model, each mistake at its place; and what a model knows of the paths below it."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from sere_core.config.nodes import Data, Path, dotted
from sere_registry.errors import Place, Problem, counted, suggest
from sere_registry.kinds import Kind

Model = TypeVar("Model", bound=BaseModel)
PlaceOf = Callable[[Path, bool], Place]


def members(annotation: object) -> list[object]:
    """The alternatives of an annotation, without `Annotated`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [member for argument in get_args(annotation) for member in members(argument)]
    return [annotation]


def models(annotation: object) -> list[type[BaseModel]]:
    """The alternatives that are models."""
    return [one for one in members(annotation) if isinstance(one, type) and issubclass(one, BaseModel)]


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by the keys that a config uses."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def keys(annotation: object) -> list[str] | None:
    """The keys that a mapping of this annotation may have; None where any will do."""
    return [key for model in models(annotation) for key in fields(model)] or None


def below(annotation: object, name: str) -> object:
    """The annotation of the child `name`; None if there can be none."""
    for model in models(annotation):
        if name in fields(model):
            return fields(model)[name].annotation
    for member in members(annotation):
        if member is Any or member is dict:
            return Any
        origin, arguments = get_origin(member), get_args(member)
        if isinstance(origin, type) and issubclass(origin, Mapping) and len(arguments) == 2:
            return arguments[1]
        if isinstance(origin, type) and issubclass(origin, Sequence) and arguments and name.isdigit():
            return arguments[0]
    return None


def walk(annotation: object, path: Path) -> object:
    """The annotation at `path`; None if there can be none."""
    for part in path:
        annotation = None if annotation is None else below(annotation, part)
    return annotation


def description(annotation: object, path: Path) -> str:
    """What the field at `path` means, as its model says; "" if it does not."""
    for model in models(walk(annotation, path[:-1])) if path else ():
        if path[-1] in fields(model):
            return fields(model)[path[-1]].description or ""
    return ""


def allows_null(field: FieldInfo) -> bool:
    return any(member in (None, type(None), Any) for member in members(field.annotation))


def without_paths(dumped: Data, annotation: object) -> Data:
    """What a model dumped, without the fields that are paths of the file system."""
    if isinstance(dumped, list):
        return [without_paths(item, below(annotation, "0")) for item in dumped]
    if not isinstance(dumped, dict):
        return dumped
    inner = {key: below(annotation, key) for key in dumped}
    return {key: without_paths(value, inner[key]) for key, value in dumped.items() if not mentions_path(inner[key])}


def may_be_path(field: FieldInfo) -> bool:
    """Is it a name that may be a local path instead, such as a model's on a hub?"""
    return isinstance(field.json_schema_extra, dict) and "path" in field.json_schema_extra


def kind_of_parts(field: FieldInfo) -> Kind | None:
    """Of a parameter that lists components: their kind."""
    extra = field.json_schema_extra
    return cast("Kind | None", extra.get("parts")) if isinstance(extra, dict) else None


def mentions_path(annotation: object) -> bool:
    """Is it a path of the file system, or holds one?"""
    if isinstance(annotation, type) and issubclass(annotation, PurePath):
        return True
    return any(mentions_path(argument) for argument in get_args(annotation))


def validate(
    model: type[Model], data: Mapping[str, Data], place: PlaceOf, title: str, also: tuple[str, ...] = ()
) -> tuple[Model | None, list[Problem]]:
    """Check `data` against `model`, strictly: no text for numbers, no numbers for truth values.

    Args:
        model: what the data must be.
        data: from YAML.
        place: where a path below the data was written (its value, or its key).
        title: whose keys they are, for hints.
        also: keys that hints list beside the model's own.
    """
    try:
        return model.model_validate_json(json.dumps(data), strict=True), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    found: dict[Path, list[ErrorDetails]] = {}
    vague: set[Path] = set()
    for detail in details:
        path, through_union = _path(detail, data)
        found.setdefault(path, []).append(detail)
        # in a union the user meant the alternative in which something deeper is wrong; of a list only the items that are right count
        if through_union or detail["type"] == "too_short":
            vague.add(path)
    return None, [
        _problem(path, details, model, data, place, title, also)
        for path, details in found.items()
        if path not in vague or not any(other != path and other[: len(path)] == path for other in found)
    ]


def show(value: Data) -> str:
    """A value, briefly, as the user wrote it."""
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _path(detail: ErrorDetails, data: Data) -> tuple[Path, bool]:
    """The path in the data that pydantic's `loc` means, without the names of union members that it puts in between."""
    path: list[str] = []
    through_union = False
    for index, part in enumerate(detail["loc"]):
        if isinstance(data, dict) and str(part) in data:
            data = data[str(part)]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif detail["type"] != "missing" or index < len(detail["loc"]) - 1:
            through_union = through_union or part != "[key]"
            continue
        path.append(str(part))
    return tuple(path), through_union


def _problem(
    path: Path, details: list[ErrorDetails], model: type[BaseModel], data: Data, place: PlaceOf, title: str, also: tuple[str, ...]
) -> Problem:
    kinds = {detail["type"] for detail in details}
    name = path[-1] if path else ""
    about = f"{name}: {text}" if (text := description(model, path)) else ""
    if "missing" in kinds:
        return Problem("C302", f"'{name}' is missing", about, place(path, False))
    if "extra_forbidden" in kinds:
        known = keys(walk(model, path[:-1])) or []
        whose, more = (title, also) if len(path) == 1 else (dotted(path[:-1]), ())
        return Problem("C302", "unknown key", suggest(name, [*known, *more], f"known keys of {whose}"), place(path, True))
    for part in path:
        data = data[int(part)] if isinstance(data, list) else data[part]
    phrases: list[str] = []
    choices: list[str] = []
    at_key = bool(details[0]["loc"]) and details[0]["loc"][-1] == "[key]"
    data = name if at_key else data
    for detail in details:
        context = detail.get("ctx") or {}
        if detail["type"] in ("literal_error", "enum"):
            choices += str(context.get("expected", "")).split("'")[1::2]
        if detail["type"] == "too_short":
            least = counted(context["min_length"], "item")
            return Problem("C302", f"needs at least {least}, and has {context['actual_length']}", about, place(path, at_key))
        said = detail["msg"].replace("String should match pattern", "Input should be text of the form").replace("an object", "a mapping")
        words = said.removeprefix("Input should be ")
        if words == detail["msg"]:  # a validator's own words
            words = str(context.get("error") or detail["msg"][:1].lower() + detail["msg"][1:])
            return Problem("C302", words, about, place(path, at_key))
        phrases.append(words)
    hint = suggest(data, choices, "one of") if len(choices) > 1 and isinstance(data, str) else about
    return Problem("C302", f"should be {' or '.join(dict.fromkeys(phrases))}, not {show(data)}", hint, place(path, at_key))
