"""The index of a comparison's records: facts that were extracted and checked before, so that a second reading only looks at file times.

An entry holds as long as each of the record's files has the identity (time of change, size, inode) that it had before it was read.
What cannot be understood is dropped without a word and made again: nothing but speed hangs on this file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from sere_core.compare.facts import RunFacts
from sere_core.compare.identity import Identity
from sere_registry.errors import SereError
from sere_registry.files import write_atomically

INDEX = "records.index"

#: goes up with every change of what is stored: an index of another version is made again
_MAGIC = b"sere index 2 "
_ARRAYS = ("confusion", "by_speaker")
_VALUES = tuple(each.name for each in fields(RunFacts) if each.name not in {"job", "path", *_ARRAYS})

#: file times tick: a file that was written this short before it was looked at may be written again and look the same
_TICK_NS = 50_000_000


class Index:
    """The index of the comparison in `folder`, as it is on disk; `get` and `put`, then `write`.

    Args:
        folder: of the comparison.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._changed = folder, False
        self._entries: dict[str, tuple[Identity, RunFacts]] = {}
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
            self._entries = _parse((folder / INDEX).read_bytes(), folder / "records")

    def get(self, job: str, now: Identity) -> RunFacts | None:
        """The facts of a record, if it is what it was."""
        then, facts = self._entries.get(job, (None, None))
        return facts if then == now else None

    def put(self, job: str, seen: Identity, facts: RunFacts) -> None:
        """Remember facts.

        Args:
            seen: the identity from before the record was read.
        """
        if max(changed for _, changed, _, _ in seen) < time.time_ns() - _TICK_NS:
            self._entries[job] = (seen, facts)
            self._changed = True

    def write(self, jobs: Mapping[str, Any]) -> None:
        """Write the entries of `jobs`, if any is new.  A folder that cannot be written keeps none."""
        if self._changed:
            kept = {job: entry for job, entry in self._entries.items() if job in jobs}
            with contextlib.suppress(SereError):
                write_atomically(self._folder / INDEX, _format(kept))


def _format(entries: Mapping[str, tuple[Identity, RunFacts]]) -> bytes:
    """A line with a digest of the rest; a line of JSON; the counts, all in one array.  Values that many records share are stored once."""
    numbers: dict[Any, int] = {}
    table: list[Any] = []
    counts, rows = [np.zeros(0, np.int64)], []

    def stored(name: str, value: Any) -> int:
        key = (name, tuple(value.items()) if isinstance(value, Mapping) else value)  # 1, 1.0 and True are equal, but not of one name
        number = numbers.setdefault(key, len(table))
        if number == len(table):
            table.append(value)
        return number

    for job, (seen, facts) in entries.items():
        arrays = [getattr(facts, name) for name in _ARRAYS]
        counts += [array.ravel() for array in arrays]
        shared = [stored(name, getattr(facts, name)) for name in _VALUES]
        rows.append([job, seen, shared, [stored("shape", array.shape) for array in arrays]])
    whole = np.concatenate(counts)
    small = whole.astype(np.min_scalar_type(int(whole.max(initial=0))))
    head = json.dumps({"values": _VALUES, "table": table, "rows": rows, "kind": small.dtype.str}, separators=(",", ":"))
    body = head.encode() + b"\n" + small.tobytes()
    return _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _parse(data: bytes, records: Path) -> dict[str, tuple[Identity, RunFacts]]:
    """The inverse of `_format`.

    Raises:
        ValueError and others: it is damaged, or of another version.
    """
    title, _, body = data.partition(b"\n")
    if title != _MAGIC + hashlib.sha256(body).hexdigest().encode():
        raise ValueError("damaged")
    head, _, blob = body.partition(b"\n")
    content = json.loads(head)
    if tuple(content["values"]) != _VALUES:
        raise ValueError("another version")
    table = [tuple(value) if isinstance(value, list) else value for value in content["table"]]
    counts = np.frombuffer(blob, np.dtype(content["kind"])).astype(np.int64)
    entries, start = {}, 0
    for job, seen, shared, shapes in content["rows"]:
        values: dict[str, Any] = dict(zip(_VALUES, (table[number] for number in shared), strict=True))
        for name, number in zip(_ARRAYS, shapes, strict=True):
            end = start + math.prod(table[number])
            values[name] = counts[start:end].reshape(table[number])
            start = end
        entries[job] = (tuple(map(tuple, seen)), RunFacts(job=job, path=records / job, **values))
    return entries
