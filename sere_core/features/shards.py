"""Arrays in packed files, which any number of processes write and read at once: each appends to files of its own, and nothing is locked.

    NAME.data     arrays, each at a multiple of 64 bytes
    NAME.index    a line for each record: a CRC-32 of the rest, its key, and JSON: what it is about, and where its arrays lie

NAME is the time at which its writer began, and random.  Arrays are written before the line that names them, so a writer that is
killed leaves bytes that no line names, and perhaps half a line, which does not count.  Nothing waits for the disk: what a machine loses
when it breaks down shows in the digests.  **The SHA-256 of an array is compared when a process reads the array for the first time**,
not when a shard is opened or an index read; lines are checked when they are read.  Of several records of a key the newest counts.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import mmap
import os
import secrets
import threading
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sere_registry.files import write_all, writing

#: bytes after which a writer begins another shard
LARGEST = 1 << 30
#: memory maps that are kept open: each costs a file descriptor
_MAPS = 256
_ALIGNED = 64
#: seconds within which what others write may go unseen
_STALE = 1.0
_OFFSET = (1 << 40) - 1


class Damaged(Exception):
    """An array's bytes are not those that were written."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An array's place: type, shape, digest of its bytes, and where they begin in `shard`."""

    shard: str
    dtype: str
    shape: tuple[int, ...]
    digest: str
    offset: int

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class Row:
    """A record: what it is about (JSON data), and its arrays by name."""

    key: bytes
    place: int
    about: Any
    arrays: Mapping[str, Stored]


class _Writer:
    """A shard that grows; of this process alone."""

    def __init__(self, root: Path) -> None:
        self.process, self.name, self.end = os.getpid(), f"{time.time_ns():016x}-{secrets.token_hex(4)}", 0
        root.mkdir(parents=True, exist_ok=True)
        how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._files = [os.open(root / f"{self.name}{suffix}", how, 0o666) for suffix in (".data", ".index")]

    def usable(self) -> bool:
        there = all(os.fstat(file).st_nlink for file in self._files)  # or somebody deleted the folder
        return there and self.process == os.getpid() and self.end < LARGEST

    def write(self, data: list[bytes], line: bytes) -> None:
        for each in data:
            write_all(self._files[0], each)
        write_all(self._files[1], line)

    def close(self) -> None:
        for file in self._files if self.process == os.getpid() else ():
            os.close(file)


class Shards:
    """The records of one folder by key (40 hex digits); threads share it.  Made by `shards`, once for each folder and process."""

    def __init__(self, root: Path) -> None:
        self._root, self._lock = root, threading.RLock()
        self._writer: _Writer | None = None
        self._forget()

    def _forget(self) -> None:
        self._names: list[str] = []  # of shards, in the order in which they were found
        self._read: dict[str, int] = {}  # bytes of the index
        self._places: dict[bytes, tuple[int, ...]] = {}  # where the lines are: number of the shard, and offset in its index
        self._maps: dict[str, mmap.mmap] = {}
        self._sound: set[tuple[str, int]] = set()
        self._refreshed = 0.0

    def refresh(self) -> None:
        """Read what was written since, and forget what was deleted."""
        with self._lock:
            found: dict[str, int] = {}
            with suppress(OSError), os.scandir(self._root) as entries:
                found = {each.name[:-6]: each.stat().st_size for each in entries if each.name.endswith(".index")}
            if not found.keys() >= set(self._names):
                self._forget()
            for name, size in sorted(found.items()):
                if size > self._read.get(name, 0):
                    with suppress(OSError):  # deleted meanwhile
                        self._scan(name)
            self._refreshed = time.monotonic()

    def _scan(self, name: str) -> None:
        if name not in self._read:
            self._names.append(name)
        number, at = self._names.index(name), self._read.setdefault(name, 0)
        with open(self._root / f"{name}.index", "rb") as file:
            file.seek(at)
            for line in file:
                if not line.endswith(b"\n"):  # being written, or its writer was killed
                    break
                if (key := _key(line)) is not None:
                    self._add(key, number << 40 | at)
                at += len(line)
        self._read[name] = at

    def _add(self, key: bytes, place: int) -> None:
        places = {*self._places.get(key, ()), place}
        self._places[key] = tuple(sorted(places, key=lambda each: (self._names[each >> 40], each)))

    def keys(self) -> list[str]:
        """Of all records, damaged ones too."""
        self.refresh()
        with self._lock:
            return sorted(key.hex() for key in self._places)

    def find(self, key: str) -> Row | None:
        """The newest record of a key that is not known to be damaged; its arrays are not read."""
        own = bytes.fromhex(key)
        with self._lock:
            if own not in self._places and time.monotonic() - self._refreshed > _STALE:
                self.refresh()
            while places := self._places.get(own):
                with suppress(OSError, ValueError, TypeError, KeyError):
                    return self._row(places[-1], own)
                self._drop(own, places[-1])
        return None

    def _row(self, place: int, key: bytes) -> Row:
        name = self._names[place >> 40]
        begin, index = place & _OFFSET, self._map(f"{name}.index", self._read[name])
        line = index[begin : index.find(b"\n", begin) + 1]
        if _key(line) != key:
            raise ValueError("it was changed since")
        data = json.loads(line[50:])
        return Row(key, place, data["about"], {each: Stored(name, *rest) for each, rest in data["arrays"].items()})

    def read(self, row: Row, name: str) -> NDArray[Any]:
        """An array, as a view of the mapped file that cannot be written to.

        Raises:
            Damaged: its bytes have another digest, or are not there; the record no longer counts.
        """
        stored, size = row.arrays[name], row.arrays[name].bytes
        if not size:
            return np.zeros(stored.shape, stored.dtype)
        try:
            whole = self._map(f"{stored.shard}.data", stored.offset + size)
        except (OSError, ValueError) as cause:
            self.drop(row)
            raise Damaged(stored.shard) from cause
        view = memoryview(whole)[stored.offset : stored.offset + size]
        if (stored.shard, stored.offset) not in self._sound:
            if hashlib.sha256(view).hexdigest()[:32] != stored.digest:
                self.drop(row)
                raise Damaged(stored.shard)
            self._sound.add((stored.shard, stored.offset))
        return np.frombuffer(view, stored.dtype).reshape(stored.shape)

    def drop(self, row: Row) -> None:
        """A record is damaged: what is written in its place shall be newer."""
        with self._lock:
            self._drop(row.key, row.place)

    def _drop(self, key: bytes, place: int) -> None:
        self._places[key] = tuple(each for each in self._places.get(key, ()) if each != place)
        self._end()

    def _map(self, name: str, end: int) -> mmap.mmap:
        """A file of at least so many bytes.

        Raises:
            OSError, ValueError: it is not there, or shorter.
        """
        with self._lock:
            found = self._maps.pop(name, None)
            if found is None or len(found) < end:
                with open(self._root / name, "rb") as file:
                    found = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                if len(found) < end:
                    raise ValueError(f"{name} is shorter than {end} bytes")
            self._maps[name] = found  # the last one used is the last one closed; a map lives as long as an array that views it
            while len(self._maps) > _MAPS:
                self._maps.pop(next(iter(self._maps)))
            return found

    def append(self, key: str, about: Any, arrays: Mapping[str, NDArray[Any]]) -> Row:
        """Write a record, at once or not at all.

        Raises:
            SereError: X704 (the folder cannot be written), X705 (the disk is full).
        """
        with self._lock, writing(self._root):
            if self._writer is None or not self._writer.usable():
                self._end()
                self._writer = _Writer(self._root)
            writer, data, stored = self._writer, list[bytes](), {}
            for name, array in arrays.items():
                data += [bytes(-writer.end % _ALIGNED), content := array.tobytes()]
                writer.end += len(data[-2])
                stored[name] = (array.dtype.str, array.shape, hashlib.sha256(content).hexdigest()[:32], writer.end)
                writer.end += len(content)
            text = f"{key} {json.dumps({'about': about, 'arrays': stored}, separators=(',', ':'))}".encode()
            try:
                writer.write(data, b"%08x %s\n" % (zlib.crc32(text), text))
            except BaseException:
                self._end()  # what stands at its end is not known
                raise
            self._scan(writer.name)
            own = bytes.fromhex(key)
            return self._row(max(self._places[own]), own)

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None


def _key(line: bytes) -> bytes | None:
    """Of a whole line; None for one that is damaged."""
    with suppress(ValueError):
        if zlib.crc32(line[9:-1]) == int(line[:8], 16):
            return bytes.fromhex(line[9:49].decode())
    return None


@functools.cache
def shards(root: Path) -> Shards:
    """The shards of a folder, by its absolute path, for this process."""
    return Shards(root)
