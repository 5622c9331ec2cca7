"""How a corpus lies on the disk: finding its base folder below the user's root, and all audio files below that."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sere_registry.errors import error

AUDIO = frozenset({".wav", ".flac"})
#: how deep below its base a corpus is read; deeper files belong to no known layout, and links may go in circles
DEPTH = 6
#: how many folders of one level are searched for the base
WIDTH = 200


@dataclass(frozen=True)
class Layout:
    """An official layout.

    Args:
        use: the corpus's name in configs.
        title: its name in sentences.
        example: one file of it, below the base.
        folder: matches the names of the folders that stand in the base ("" where files stand there).
        file: matches the names, without suffix, of files that carry all labels, so that they may stand in the base.
        depth: how many names lead from the base to a file, its own included.
        suffixes: of its audio files.
    """

    use: str
    title: str
    example: str
    folder: re.Pattern[str] | None
    file: re.Pattern[str] | None
    depth: int
    suffixes: frozenset[str] = AUDIO

    def marks(self, entry: os.DirEntry[str]) -> bool:
        """Does this entry show that its folder is the base?"""
        if entry.is_dir():
            return self.folder is not None and self.folder.fullmatch(entry.name) is not None
        stem, suffix = os.path.splitext(entry.name)
        return self.file is not None and suffix.lower() in self.suffixes and self.file.fullmatch(stem) is not None


def entries(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """What is in a folder, hidden entries (and the `._` files of macOS) left out, sorted by name.

    Raises:
        SereError: D601 if it cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            return sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as cause:
        raise error("D601", f"folder {os.fspath(folder)} cannot be read: {cause.strerror}") from cause


def bases(root: Path, layout: Layout) -> list[Path]:
    """The folders that the layout starts from: the root, else some below it, else some two below; the first level that has any."""
    level = [os.fspath(root)]
    for _ in range(3):
        found, below = [], []
        for folder in level:
            inside = entries(folder)
            if any(layout.marks(entry) for entry in inside):
                found.append(Path(folder))
            below += [entry.path for entry in inside if entry.is_dir()]
        if found:
            return found
        level = below[:WIDTH]
    return []


def audio_files(base: Path, suffixes: Iterable[str]) -> list[tuple[tuple[str, ...], str]]:
    """All files with these suffixes: (names below the base, the last without suffix; path), in the order of the names."""
    wanted = frozenset(suffixes)
    found: list[tuple[tuple[str, ...], str]] = []

    def walk(folder: str, names: tuple[str, ...]) -> None:
        for entry in entries(folder):
            if entry.is_dir():
                if len(names) + 1 < DEPTH:
                    walk(entry.path, (*names, entry.name))
                continue
            stem, suffix = os.path.splitext(entry.name)
            if suffix.lower() in wanted:
                found.append(((*names, stem), entry.path))

    walk(os.fspath(base), ())
    return found


def describe(root: Path) -> str:
    """What stands in a folder, in a few words.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     describe(Path(folder))
    'it is empty'
    """
    inside = entries(root)
    if not inside:
        return "it is empty"
    folders = [entry.name for entry in inside if entry.is_dir()]
    files = [entry.name for entry in inside if not entry.is_dir()]
    parts = [f"{count(len(names), what)} ({few(names, 3)})" for names, what in ((folders, "folder"), (files, "file")) if names]
    return "found " + " and ".join(parts)


def few(names: Iterable[str], most: int = 5) -> str:
    """The first names, and how many more there are.

    >>> few(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    listed = list(names)
    shown = ", ".join(listed[:most])
    return f"{shown} and {len(listed) - most} more" if len(listed) > most else shown


def count(number: int, what: str = "file") -> str:
    """A number with its noun.

    >>> count(1), count(2, "folder")
    ('1 file', '2 folders')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
