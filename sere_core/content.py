"""Digests of files by content, kept by what the file system says of each, so that a file that has not changed is read once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sere_registry.files import check_file

#: nanoseconds: a file that was changed so shortly before it was read may change again with the same times
_FRESH = 2_000_000_000
_COLUMNS = "path BLOB PRIMARY KEY, state TEXT NOT NULL, digest TEXT NOT NULL"
_SELECT, _INSERT = "SELECT path, state, digest FROM files", "INSERT OR REPLACE INTO files VALUES (?, ?, ?)"


class Contents:
    """Digests of files.  Threads share it; so do processes, by one SQLite file.

    A digest counts as long as the file's device, inode, size, and times of modification and of change are those that it
    had when it was read.  The times of change cannot be set by tar, rsync or touch.

    Args:
        folder: of the cache; None to remember nothing beyond this object.
        fresh: read every file once in full, whatever is remembered.
        progress: called with bytes read, and bytes to be read.

    Attributes:
        packages: digests of whole packages that were made with it.
    """

    def __init__(
        self, folder: Path | None = None, fresh: bool = False, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        self._path, self._fresh, self._progress = (None if folder is None else folder / "digests.sqlite"), fresh, progress
        self.packages: dict[str, str] = {}
        self._known: dict[str, tuple[str, str]] = {}
        self._new: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()

    def digest(self, path: Path) -> str:
        """Of a file's bytes, 40 hex digits.

        Raises:
            OSError: it is not there, no file, or cannot be read.
        """
        name, state = os.path.abspath(path), _state(path)
        with self._lock:
            known = self._known.get(name)
        if known is None or known[0] != state:
            known = None if self._fresh else self._recall([name]).get(name)
        if known is None or known[0] != state:
            known = self._read(path, name)
        with self._lock:
            self._known[name] = known
        return known[1]

    def recall(self, paths: Iterable[Path]) -> None:
        """Make the digests of files that are not known yet, those that are remembered at once; what cannot be read is passed over."""
        unknown = [name for name in dict.fromkeys(map(os.path.abspath, paths)) if name not in self._known]
        if not self._fresh:
            self._known |= self._recall(unknown)
        sizes = {name: size for name in unknown if (size := self._missing(name)) is not None}
        done, total = 0, sum(sizes.values())
        for name, size in sizes.items():
            with contextlib.suppress(OSError):
                self.digest(Path(name))
            done += size
            self._progress(done, total)
        self.save()

    def save(self) -> None:
        """Remember what was read; a store that cannot be written is done without, a damaged one is begun anew."""
        with self._lock:
            new, self._new = self._new, {}
        if not new or self._path is None:
            return
        rows = [(os.fsencode(name), state, f"{digest} {_checksum(name, state, digest)}") for name, (state, digest) in new.items()]
        with contextlib.suppress(sqlite3.Error, OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._change(_INSERT, rows)
            except sqlite3.OperationalError:  # locked for too long, read-only, a full disk
                raise
            except sqlite3.DatabaseError:
                self._path.unlink()
                self._change(_INSERT, rows)

    def verify(self) -> tuple[int, list[Path]]:
        """Read every file that is remembered and seems to be what it was; forget all others.

        Returns:
            how many; and those whose bytes are not the ones that were remembered.
        """
        if self._path is None:
            return 0, []
        wrong, old, same = list[str](), list[str](), list[str]()
        for name, (state, _) in (remembered := self._recall()).items():
            with contextlib.suppress(OSError, ValueError):
                if _state(name) == state:
                    same.append(name)
                    continue
            old.append(name)
        for number, name in enumerate(same, start=1):
            with contextlib.suppress(OSError):
                if self._read(Path(name), name)[1] != remembered[name][1]:
                    wrong.append(name)
            self._progress(number, len(same))
        with contextlib.suppress(sqlite3.Error):
            self._change("DELETE FROM files WHERE path = ?", [(os.fsencode(name),) for name in (*old, *wrong)])
        self.save()
        return len(same), [*map(Path, wrong)]

    def _change(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        with contextlib.closing(sqlite3.connect(str(self._path), timeout=10)) as store, store:
            store.execute("PRAGMA synchronous=OFF")  # what is lost is read again
            store.execute(f"CREATE TABLE IF NOT EXISTS files ({_COLUMNS})")
            store.executemany(statement, rows)

    def _missing(self, name: str) -> int | None:
        """The size of a file whose digest is not known yet."""
        with contextlib.suppress(OSError, ValueError):
            known = self._known.get(name)
            return os.stat(name).st_size if known is None or known[0] != _state(name) else None
        return None

    def _recall(self, names: Sequence[str] | None = None) -> dict[str, tuple[str, str]]:
        """What the store remembers of these files, or of all; nothing where it is absent or damaged."""
        found: dict[str, tuple[str, str]] = {}
        if self._path is None or not self._path.is_file():
            return found
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(self._path, timeout=10)) as store:
            store.text_factory = bytes  # a damaged one may hold anything
            for name in [None] if names is None else names:
                values, where = ((), "") if name is None else ((os.fsencode(name),), " WHERE path = ?")
                for row in store.execute(_SELECT + where, values):
                    path, state, known = (os.fsdecode(each) if isinstance(each, bytes) else "" for each in row)
                    digest, _, check = known.partition(" ")
                    if check == _checksum(path, state, digest):
                        found[path] = (state, digest)
        return found

    def _read(self, path: Path, name: str) -> tuple[str, str]:
        check_file(path)
        for _ in range(3):  # a file that is written meanwhile
            began, state = time.time_ns(), _state(path)
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
            if _state(path) == state:
                break
        else:
            return state, digest
        if began - max(map(int, state.split()[-2:])) > _FRESH:
            with self._lock:
                self._new[name] = (state, digest)
        return state, digest


def _state(path: str | os.PathLike[str]) -> str:
    about = os.stat(path)
    return f"{about.st_dev} {about.st_ino} {about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}"


def _checksum(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def files_below(path: Path) -> list[tuple[str, Path]]:
    """The files of a folder by their name below it, sorted, compiled Python left out; a file by its own name."""
    if not path.is_dir():
        return [(path.name, path)] if path.exists() else []
    root, found = os.fspath(path), []
    for folder, folders, names in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.endswith(".egg-info"))
        below = folder[len(root) :].lstrip(os.sep)
        found += [(os.path.join(below, name), Path(folder, name)) for name in names if not name.endswith((".pyc", ".pyo"))]
    return sorted(found)


def digest_of(files: Iterable[tuple[str, Path]], contents: Contents) -> str:
    """A digest of files by name and content, 16 hex digits; one that cannot be read counts as such."""
    files, whole = list(files), hashlib.sha256()
    contents.recall(path for _, path in files)
    for name, path in files:
        try:
            content = contents.digest(path)
        except (OSError, ValueError) as cause:
            content = type(cause).__name__
        whole.update(f"{name}\0{content}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()[:16]
