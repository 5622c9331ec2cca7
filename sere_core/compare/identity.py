"""By what it is told, without reading it, that a record is what it was: times, size and inode of each of its files."""

from __future__ import annotations

import os

from sere_core.score.records import RECORD_FILES

Identity = tuple[tuple[int, ...], ...]

_FILES = tuple(f"/{name}" for name in ("done", *RECORD_FILES, "timing.json"))


def identity(record: str) -> Identity:
    """The identity of each of a record's files, of `done` first; zeros for one that is not there."""
    found: list[tuple[int, ...]] = []
    for name in _FILES:
        try:
            stat = os.stat(record + name)
            found.append((stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino))
        except OSError:
            found.append((0, 0, 0, 0))
    return tuple(found)
