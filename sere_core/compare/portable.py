"""A resolved config as a file of its own that means the same from every folder."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePath
from typing import Any, get_args

from sere_core.config import Resolved
from sere_core.config.nodes import Node
from sere_core.config.validation import below
from sere_core.config.yaml_text import write

_SEED = re.compile(r"(?m)^seed: [0-9]+$")


def anchored(node: Node, path: tuple[str, ...] = ()) -> Node:
    """The tree with every existing `./...` or `../...` among the parameters of its components as an absolute path."""
    value = node.value
    if isinstance(value, dict):
        return Node({name: anchored(child, (*path, name)) for name, child in value.items()}, node.start, node.key)
    if isinstance(value, list):
        return Node([anchored(child, (*path, str(index))) for index, child in enumerate(value)], node.start, node.key)
    if isinstance(value, str) and "params" in path and value.startswith(("./", "../")) and os.path.exists(value):
        return Node(os.path.abspath(value), node.start, node.key)
    return node


def job_text(resolved: Resolved) -> str:
    """The config with every default written out and every path absolute."""
    data: dict[str, Any] = resolved.config.model_dump(mode="json")
    for path, bound in resolved.components.items():
        block: Any = data
        for part in path.split("."):
            block = block[int(part)] if isinstance(block, list) else block[part]
        block["params"] = _absolute(block["params"], type(bound.params))
    for section, key in (("features", "cache"), ("output", "dir")):
        data[section][key] = _path(data[section][key])
    return write(data)


def with_seed(text: str, seed: int) -> str:
    """The same config with another seed."""
    return _SEED.sub(f"seed: {seed}", text, count=1)


def _absolute(value: Any, annotation: Any) -> Any:
    """Parameters with those that are paths made absolute."""
    if isinstance(value, dict):
        return {key: _absolute(child, below(annotation, key)) for key, child in value.items()}
    if isinstance(value, list):
        return [_absolute(child, below(annotation, "0")) for child in value]
    return _path(value) if _is_path(annotation) else value


def _path(value: Any) -> Any:
    return os.path.abspath(value) if isinstance(value, str) and not value.startswith("~") else value


def _is_path(annotation: Any) -> bool:
    """Is it a path and never a name?  A text that may be either stays as it is."""
    parts = [part for part in get_args(annotation) if part is not type(None)] or [annotation]
    return all(isinstance(part, type) and issubclass(part, PurePath) for part in parts)


def data_paths(resolved: Resolved) -> set[str]:
    """The folders and files that the corpora of a config lie in."""
    found: set[str] = set()
    for path, bound in resolved.components.items():
        if path.startswith("corpora."):
            values = [getattr(bound.params, name) for name in type(bound.params).model_fields]
            found.update(os.path.abspath(value.expanduser()) for value in values if isinstance(value, Path))
    return found
