"""Plain data as its values with their paths; imports nothing, for those that read many configs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def leaves(data: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The values of plain data with their paths; empty mappings and lists of single values count as one value.

    >>> list(leaves({"a": {"b": 1, "c": [2, 3]}}))
    [(('a', 'b'), 1), (('a', 'c'), [2, 3])]
    """
    if isinstance(data, dict) and data:
        for name, child in data.items():
            yield from leaves(child, (*path, str(name)))
    elif isinstance(data, list) and any(isinstance(item, (dict, list)) for item in data):
        for index, child in enumerate(data):
            yield from leaves(child, (*path, str(index)))
    else:
        yield path, data
