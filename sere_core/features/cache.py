"""Extracted arrays on disk, in packed shards under the digest of all that they depend on.

Safe for any number of processes, and for a kill at any moment; `shards.py` says how, and when bytes are checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sere_core.features.audio import Facts
from sere_core.features.shards import Damaged, Row, Shards, shards

#: below the folder of the cache; another layout gets another name, and finds nothing of this one
FOLDER = "features-2"


def key(**parts: object) -> str:
    """The digest of everything that arrays depend on; JSON data."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


@dataclass(frozen=True)
class Entry:
    """Arrays of float32 or float16 by name, and the facts of the waveform that they were made from."""

    arrays: Mapping[str, NDArray[Any]]
    facts: Facts


@dataclass(frozen=True, slots=True)
class Held:
    """An entry of the cache.  Its arrays are read, and checked, when they are asked for, and cannot be written to."""

    _shards: Shards
    _row: Row

    @property
    def facts(self) -> Facts:
        return Facts(**self._row.about | {"remarks": tuple(self._row.about["remarks"])})

    @property
    def digest(self) -> str:
        """Of the arrays: their names, types, shapes and values; none is read for it."""
        arrays = sorted((name, each.dtype, list(each.shape), each.digest) for name, each in self._row.arrays.items())
        return hashlib.blake2b(json.dumps(arrays).encode(), digest_size=16).hexdigest()

    @property
    def names(self) -> Collection[str]:
        return self._row.arrays.keys()

    def length(self, name: str) -> int:
        """How many rows an array has; it is not read."""
        return self._row.arrays[name].shape[0]

    def array(self, name: str) -> NDArray[Any]:
        """Raises `Damaged`, and then the entry is no longer in the cache."""
        return self._shards.read(self._row, name)

    def whole(self) -> Entry:
        """With all arrays; raises `Damaged`."""
        return Entry({name: self.array(name) for name in self.names}, self.facts)


class Cache:
    """Entries by key, below one folder."""

    def __init__(self, root: Path) -> None:
        self._shards = shards((root / FOLDER).absolute())

    def refresh(self) -> None:
        """See at once what other processes have written, which else takes a second."""
        self._shards.refresh()

    def keys(self) -> list[str]:
        """Of all entries, damaged ones too."""
        return self._shards.keys()

    def load(self, key: str) -> Held | None:
        """The newest entry of a key; nothing of its arrays is read, and they may be damaged."""
        row = self._shards.find(key)
        return None if row is None else Held(self._shards, row)

    def sound(self, key: str) -> Entry | None:
        """The newest entry of a key that is not damaged."""
        while (found := self.load(key)) is not None:
            with suppress(Damaged):
                return found.whole()
        return None

    def store(self, key: str, entry: Entry) -> Held:
        """Write an entry, at once or not at all.

        Raises:
            SereError: X704 (the folder cannot be written), X705 (the disk is full).
        """
        return Held(self._shards, self._shards.append(key, asdict(entry.facts), entry.arrays))
