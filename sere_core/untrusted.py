"""Files that anybody may have written, read as data: regular files of bounded size, JSON and YAML of bounded depth.

Records, models and the state of interrupted calls come from other machines and other people.  Whatever is in them, reading
them ends in data of the expected shape or in one line (T505); it runs no code, waits for nothing, and takes no more
memory than a multiple of the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from sere_core.config.nodes import Node
from sere_core.config.yaml_text import read as parse_yaml
from sere_registry.errors import Place, Problem, SereError, error
from sere_registry.files import read_file

if TYPE_CHECKING:
    pass

T = TypeVar("T")

#: bytes of a text file, and of a file of arrays
MOST, MOST_ARRAYS = 1 << 27, 1 << 30


def unusable(path: Path, cause: object, hint: str) -> SereError:
    """T505 of a file, with the reason in one line."""
    return error("T505", f"{path} cannot be used: {' '.join(str(cause).split())[:300]}", hint)


def read_stored(path: Path, hint: str, most: int = MOST) -> bytes:
    """The whole of a regular file; T505 for one that is missing, longer than `most`, or something else (a folder, a FIFO)."""
    try:
        return read_file(path, most)
    except (OSError, ValueError) as cause:
        raise unusable(path, getattr(cause, "strerror", None) or cause, hint) from cause


def json_of(data: bytes | str, path: Path, hint: str, shape: TypeAdapter[Any] | None = None) -> Any:
    """What JSON text holds, as it stands there, once it is found to have the shape; T505 where it has not.

    Args:
        data: of the file `path`; no deeper than 200.
        shape: default: anything.
    """
    try:
        found = from_json(data, allow_inf_nan=False)
    except ValueError as cause:
        raise unusable(path, f"it is not JSON: {cause}", hint) from cause
    if shape is not None:
        checked(found, path, hint, shape)
    return found


def checked(data: object, path: Path, hint: str, shape: TypeAdapter[T]) -> T:
    """Data as the shape; T505 with the first key that is missing, or of another type."""
    try:
        return shape.validate_python(data)
    except ValidationError as cause:
        first = cause.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise unusable(path, f"{where}: {first['msg']}" if where else first["msg"], hint) from cause


def yaml_of(data: bytes, path: Path, hint: str) -> dict[str, Any]:
    """A mapping in YAML as sere writes it, without aliases; T505 where it is something else."""
    problems: list[Problem] = []
    try:
        node = parse_yaml(data.decode("utf-8-sig"), Place(str(path)), problems)
        if problems:
            raise ValueError(f"{problems[0].message} (line {problems[0].place.line})")
        found = _plain(node, set())
        if not isinstance(found, dict):
            raise ValueError("it is no mapping")
    except (ValueError, RecursionError) as cause:
        raise unusable(path, cause, hint) from cause
    return found


def _plain(node: Node | None, seen: set[int]) -> Any:
    value = None if node is None else node.value
    if not isinstance(value, (dict, list)):
        return value
    if id(value) in seen:
        raise ValueError("it repeats a part by an alias")
    seen.add(id(value))
    return {key: _plain(each, seen) for key, each in value.items()} if isinstance(value, dict) else [_plain(each, seen) for each in value]
