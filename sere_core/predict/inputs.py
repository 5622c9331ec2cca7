"""What `sere predict` is given: files, folders, patterns, tables, lists and standard input, as one row for each file or part."""

from __future__ import annotations

import csv
import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sere_registry.errors import Place, SereError, error

#: the files of a folder that are taken: what libsndfile reads, and what PyAV reads where it is installed
AUDIO = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".m4a", ".mp4", ".aac", ".webm", ".mkv", ".avi"}
)
TABLES = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Source:
    """A file, or a part of one.

    Args:
        path: of the file.
        start, end: seconds; None for the whole file.
        speaker, language: "" where unknown.
    """

    path: Path
    start: float | None = None
    end: float | None = None
    speaker: str = ""
    language: str = ""


def read_inputs(words: Sequence[str], lists: Sequence[str] = ()) -> list[Source]:
    """All sources in the order of the arguments; what a folder or pattern holds in the order of names.

    Args:
        words: files, folders (with all below), patterns, tables with a column `path`, or `-` for a path on each line of
            standard input.
        lists: files with a path on each line.

    Raises:
        SereError: D601 (no such list or table), D602 (a folder or pattern without audio), D610 (a table that is none).
    """
    found = [source for word in words for source in _read(word)]
    for name in lists:
        found += _lines(_open(Path(name)).splitlines())
    if not found:
        raise error("D602", "there is nothing to predict", "name files, folders, or a table with a column `path`")
    return found


def _read(word: str) -> Iterable[Source]:
    path = Path(word).expanduser()
    if word == "-":
        return _lines(sys.stdin)
    if path.is_dir():
        return _folder(path)
    if path.suffix.lower() in TABLES:
        return _table(path)
    if not path.exists() and glob.has_magic(word):
        names = sorted(glob.glob(os.path.expanduser(word), recursive=True))
        if not names:
            raise error("D602", f"nothing matches {word}")
        return [each for name in names for each in ([Source(Path(name))] if not os.path.isdir(name) else _folder(Path(name)))]
    return [Source(path)]


def _folder(folder: Path) -> list[Source]:
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        wanted = (name for name in sorted(names) if Path(name).suffix.lower() in AUDIO and not name.startswith("."))
        found += [Source(Path(parent, name)) for name in wanted]
    if not found:
        raise error("D602", f"no audio file in {folder}", f"files are taken that end in {', '.join(sorted(AUDIO))}")
    return found


def _lines(lines: Iterable[str]) -> list[Source]:
    return [Source(Path(line.strip()).expanduser()) for line in lines if line.strip()]


def _open(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as cause:
        raise error("D601", f"{path} cannot be read: {cause.strerror}") from cause
    except UnicodeDecodeError as cause:
        raise error("D610", f"not UTF-8: {cause.reason}", place=Place(str(path))) from cause


def _table(path: Path) -> Iterator[Source]:
    rows = csv.DictReader(_open(path).splitlines(), delimiter=TABLES[path.suffix.lower()])
    columns = [str(each).strip().lower() for each in rows.fieldnames or ()]
    name = next((each for each in ("path", "file") if each in columns), None)
    if name is None:
        what = f"no column 'path'; the columns are {', '.join(columns) or 'none'}"
        raise error("D610", what, "columns: path[, start, end, speaker, language]", Place(str(path), 1))
    rows.fieldnames = columns
    for row in rows:
        value = {key: (row.get(key) or "").strip() for key in ("start", "end", "speaker", "language")}
        try:
            start, end = (float(value[key]) if value[key] else None for key in ("start", "end"))
        except ValueError as cause:
            raise _wrong(path, rows.line_num, f"start {value['start']!r} or end {value['end']!r} is no number of seconds") from cause
        if not row[name] or not row[name].strip():
            raise _wrong(path, rows.line_num, "no path")
        yield Source(path.parent / Path(row[name].strip()).expanduser(), start, end, value["speaker"], value["language"])


def _wrong(path: Path, line: int, what: str) -> SereError:
    return error("D610", what, place=Place(str(path), line))
