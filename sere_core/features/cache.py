"""Extracted arrays on disk, each in a safetensors file under the digest of all it depends on.

Safe for two processes: files appear whole (written aside and renamed), two writers of one key write the same content, and
every file carries a checksum over its key and content, so that a damaged or foreign file counts as absent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sere_core.features.audio import Facts
from sere_registry.files import write_atomically


def key(**parts: object) -> str:
    """The digest of everything that arrays depend on; JSON data."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


@dataclass(frozen=True)
class Entry:
    """Arrays of float32 by name, and the facts of the waveform that they were made from."""

    arrays: Mapping[str, NDArray[np.float32]]
    facts: Facts

    @cached_property
    def digest(self) -> str:
        """Of the arrays: their names, shapes and values."""
        digest = hashlib.blake2b(digest_size=16)
        for name, array in sorted(self.arrays.items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
        return digest.hexdigest()

    def checksum(self, key: str) -> str:
        """Of all that is stored, and under which key."""
        text = f"{json.dumps(asdict(self.facts))} {self.digest}"
        return hashlib.blake2b(text.encode(), digest_size=16, key=key.encode()).hexdigest()


class Cache:
    """Entries by key, below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root / "features"

    def path(self, key: str) -> Path:
        return self._root / key[:2] / f"{key[2:]}.safetensors"

    def keys(self) -> list[str]:
        """Of all entries, damaged ones too."""
        return sorted(path.parent.name + path.stem for path in self._root.glob("??/*.safetensors"))

    def load(self, key: str) -> Entry | None:
        """The entry of a key, or None if it is absent or its file is damaged."""
        try:
            with safe_open(self.path(key), framework="numpy") as file:
                about = file.metadata()
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
            facts = json.loads(about["facts"])
            entry = Entry(arrays, Facts(**facts | {"remarks": tuple(facts["remarks"])}))
            return entry if about["checksum"] == entry.checksum(key) else None
        except (OSError, ValueError, TypeError, KeyError, SafetensorError):
            return None

    def store(self, key: str, entry: Entry) -> None:
        """Write an entry, at once or not at all.

        Raises:
            SereError: X704 (the folder cannot be written), X705 (the disk is full).
        """
        about = {"facts": json.dumps(asdict(entry.facts)), "checksum": entry.checksum(key)}
        write_atomically(self.path(key), save(dict(entry.arrays), about), sync=False)
