"""What pydantic finds wrong, in plain language and at the place where the user wrote it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sere_core.config.nodes import Path, dotted
from sere_core.config.schema import description, keys, walk
from sere_registry.errors import Place, Problem, suggest

Model = TypeVar("Model", bound=BaseModel)
PlaceOf = Callable[[Path, bool], Place]

_PHRASES = {
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number", "float_type": "a number", "float_parsing": "a number", "finite_number": "a finite number",
    "string_type": "text", "bool_type": "true or false", "bool_parsing": "true or false", "none_required": "null", "path_type": "a path",
    "list_type": "a list", "tuple_type": "a list", "set_type": "a list", "frozen_set_type": "a list", "iterable_type": "a list",
    "dict_type": "a mapping", "mapping_type": "a mapping", "model_type": "a mapping", "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping", "literal_error": "{expected}", "enum": "{expected}",
    "greater_than": "greater than {gt}", "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}", "less_than_equal": "at most {le}", "multiple_of": "a multiple of {multiple_of}",
    "too_short": "a list of at least {min_length}", "too_long": "a list of at most {max_length}",
    "string_too_short": "text of at least {min_length} characters", "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text of the form {pattern}",
}  # fmt: skip


def validate(
    model: type[Model], data: Mapping[str, Any], place: PlaceOf, title: str, also: tuple[str, ...] = ()
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
        return None, _problems(error, model, data, place, title, also)


def show(value: Any) -> str:
    """A value, briefly, as the user wrote it."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _problems(error: ValidationError, model: Any, data: Any, place: PlaceOf, title: str, also: tuple[str, ...]) -> list[Problem]:
    found: dict[Path, list[Any]] = {}
    unions: set[Path] = set()
    for detail in error.errors(include_url=False):
        path, through_union = _path(detail, data)
        found.setdefault(path, []).append(detail)
        if through_union:
            unions.add(path)
    problems = []
    for path, details in found.items():
        if path in unions and any(other != path and other[: len(path)] == path for other in found):
            continue  # the user meant the alternative in which something deeper is wrong
        problems.append(_problem(path, details, model, data, place, title, also))
    return problems


def _path(detail: Any, data: Any) -> tuple[Path, bool]:
    """The path in the data that pydantic's `loc` means, without the names of union members that it puts in between."""
    path: list[str] = []
    through_union = False
    location = list(detail["loc"])
    for index, part in enumerate(location):
        if isinstance(data, dict) and str(part) in data:
            data = data[str(part)]
            path.append(str(part))
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
            path.append(str(part))
        elif detail["type"] == "missing" and index == len(location) - 1:
            path.append(str(part))
        else:
            through_union = True
    return tuple(path), through_union


def _problem(path: Path, details: list[Any], model: Any, data: Any, place: PlaceOf, title: str, also: tuple[str, ...]) -> Problem:
    detail = details[0]
    name = path[-1] if path else ""
    about = description(model, path)
    if any(one["type"] == "missing" for one in details):
        return Problem("C302", f"'{name}' is missing", f"{name}: {about}" if about else "", place(path, False))
    if detail["type"] == "extra_forbidden":
        known = keys(walk(model, path[:-1])) or []
        if len(path) == 1:
            known = [*known, *also]
        whose = title if len(path) == 1 else dotted(path[:-1])
        return Problem("C302", "unknown key", suggest(name, known, f"known keys of {whose}"), place(path, True))
    value = data
    for part in path:
        value = value[int(part)] if isinstance(value, list) else value[part]
    message, choices = _sentence(details, value)
    hint = suggest(value, choices, "one of") if choices and isinstance(value, str) and len(choices) > 1 else ""
    if not hint and about:
        hint = f"{name}: {about}"
    return Problem("C302", message, hint, place(path, False))


def _sentence(details: list[Any], value: Any) -> tuple[str, list[str]]:
    phrases: list[str] = []
    choices: list[str] = []
    for detail in details:
        context = detail.get("ctx") or {}
        if detail["type"] in ("value_error", "assertion_error"):
            return str(context.get("error") or detail["msg"]), []
        if detail["type"] in ("literal_error", "enum"):
            choices += [word for index, word in enumerate(str(context.get("expected", "")).split("'")) if index % 2]
        phrase = _PHRASES.get(detail["type"])
        if phrase is None:
            message = str(detail["msg"])
            if not message.startswith("Input should be "):
                return message[:1].lower() + message[1:], []
            phrase = message.removeprefix("Input should be ").replace("{", "{{").replace("}", "}}")
        phrases.append(phrase.format(**context))
    unique = list(dict.fromkeys(phrases))
    return f"should be {' or '.join(unique)}, not {show(value)}", choices
