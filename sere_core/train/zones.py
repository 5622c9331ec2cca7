"""Where plugin code has nothing to read during a run: its corpora, the records' own files, and the index of audio files."""

from __future__ import annotations

import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sere_core.score.reading import RECORD_FILES

#: what the engine itself writes at the top of a record
_OWN = frozenset({*RECORD_FILES, "done", "timing.json", "probes.json"})
#: of these, what tells nothing of any target utterance: hooks may read it
_HARMLESS = frozenset({"config.yaml", "manifest.json", "history.jsonl", "timing.json"})
_MEMORY = re.compile(r"/proc/[^/]+/(task/[^/]+/)?(mem|pagemap|maps)$")


def libraries() -> tuple[str, ...]:
    """The folders of the standard library and of installed packages."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    packages = [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]  # of another environment, too
    paths += [*packages, *site.getsitepackages(), site.getusersitepackages(), sys.prefix, sys.base_prefix]
    found = {os.path.realpath(path) for path in paths if path}
    return tuple(sorted(found - {"/", os.path.realpath(Path.home())}))


def within(path: str, folder: str) -> bool:
    """Is `path` the folder or below it?  Both are real paths."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


class Zones:
    """Tells which paths are closed to plugin code.

    Args:
        record: the folder of this run's record.
        recordings: each corpus's audio files.
        roots: the folders and files that the corpora's parameters name.
        index: the feature cache's list of audio files.
    """

    def __init__(self, record: Path, recordings: Iterable[Iterable[Path]], roots: Iterable[Path], index: Path) -> None:
        self._record = os.path.realpath(record)
        self._index = os.path.realpath(index)
        closed = set(map(os.path.realpath, roots))
        for corpus in recordings:  # one by one: what lies between corpora, such as weights, is open
            closed.update(_common(sorted({os.path.realpath(path.parent) for path in corpus}), self._record))
        self._roots = tuple(sorted(closed))
        self._free = libraries()

    def closed(self, target: Any, writing: bool = False) -> str:
        """What plugin code reaches for by opening (perhaps for writing) or listing `target`; "" if there is nothing against it."""
        path = _real(target)
        if not path:
            return ""
        if _MEMORY.search(path):
            return "the process's memory"
        if within(path, self._record):
            inside = os.path.relpath(path, self._record)
            shut = inside in (_OWN if writing else _OWN - _HARMLESS) or inside == os.curdir
            return "this run's record" if shut else ""
        if any(within(path, folder) for folder in self._free):
            return ""
        if path == self._index:
            return "the index of audio files"
        if any(within(path, root) for root in self._roots):
            return "a corpus"
        return "another run's record" if _recorded(path) else ""


def _real(target: Any) -> str:
    """The real path of what an audit event names: a path, a file descriptor, or None for the current folder."""
    if isinstance(target, int):
        target = f"/proc/self/fd/{target}"
    try:
        path = os.path.realpath(os.fsdecode(os.curdir if target is None else target))
    except (TypeError, ValueError):
        return ""
    return re.sub(rf"^/proc/{os.getpid()}/", "/proc/self/", path)


def _recorded(path: str) -> bool:
    """Is it a record's own file, or the folder of one?"""
    folder, name = os.path.split(path)
    if name in _OWN:
        return os.path.exists(os.path.join(folder, "folds.json"))
    return os.path.exists(os.path.join(path, "folds.json")) and os.path.exists(os.path.join(path, "config.yaml"))


def _common(folders: Sequence[str], record: str) -> list[str]:
    """The folder that all audio is below; or, if that folder holds the record or installed packages too, each folder alone."""
    if not folders:
        return []
    top = os.path.commonpath(folders)
    return list(folders) if within(record, top) or any(within(path, top) for path in libraries()) else [top]
