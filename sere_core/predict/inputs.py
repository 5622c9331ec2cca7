"""What `sere predict` is given: files, folders, patterns, tables, lists and standard input, as one row for each file or part."""

from __future__ import annotations

import csv
import difflib
import glob
import io
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast, get_args

from sere_registry.cells import meant
from sere_registry.errors import Place, error
from sere_registry.files import expanded, read_file, visible_files
from sere_registry.spelling import language_tag, other_names, written
from sere_registry.utterances import AUDIO_SUFFIXES

TABLES = (".csv", ".tsv")
How = Literal["auto", "column", "group", "none"]
#: values of --speakers that are no pattern
HOWS = get_args(How)
COLUMNS = ("path", "start", "end", "speaker", "language")


@dataclass(frozen=True)
class Source:
    """A file, or a part of one.

    Args:
        path: of the file.
        start, end: seconds; None for the whole file.
        speaker, language: "" where unknown.
        below: its path below the folder that was given; None where it was given itself.
    """

    path: Path
    start: float | None = None
    end: float | None = None
    speaker: str = ""
    language: str = ""
    below: Path | None = field(default=None, repr=False, compare=False)


def read_inputs(words: Sequence[str], lists: Sequence[str] = ()) -> list[Source]:
    """All sources in the order of the arguments; what a folder or pattern holds in the order of names.

    Args:
        words: files, folders (with all below), patterns, tables with a column `path`, `-` for standard input: a path on
            each line, or before each zero byte (`find -print0`), or `@LIST` for a file like that.
        lists: files like standard input.

    Raises:
        SereError: D601 (no such list or table), D602 (a folder or pattern without audio), D610 (a table that is none).
    """
    found = [source for word in words for source in _read(word)]
    found += [source for name in lists for source in _list(_content(expanded(name)))]
    if not found:
        raise error("D602", "there is nothing to predict", "name files, folders, or a table with a column `path`")
    return found


def speaker_in_path(pattern: str, place: str) -> Callable[[Source], str]:
    """What finds the speaker in the path of a source, "" where there is none.

    Args:
        pattern: `parent`, the name of the file's folder, or a regular expression with a group `speaker`, which is searched in the
            path below the folder that was given, as in training.
        place: of the pattern, for messages.

    Raises:
        SereError: C302.

    >>> source = Source(Path("calls/anna/1.wav"), below=Path("anna/1.wav"))
    >>> speaker_in_path("parent", "")(source), speaker_in_path("^(?P<speaker>.)", "")(source)
    ('anna', 'a')
    """
    if pattern == "parent":
        return lambda source: Path(os.path.abspath(source.path)).parent.name
    try:
        compiled = re.compile(pattern)
    except re.error as cause:
        raise error("C302", f"{pattern!r} is no regular expression: {cause}", place=Place(path=place)) from cause
    if "speaker" not in compiled.groupindex:
        raise error("C302", f"{pattern!r} has no group 'speaker'", "write (?P<speaker>...), or: parent", Place(path=place))
    return lambda source: ((found := compiled.search(str(source.below or source.path))) and found["speaker"]) or ""


def with_speakers(sources: Iterable[Source], speakers: str) -> tuple[list[Source], How]:
    """The sources, each once, and how their speakers are known.

    Args:
        sources: as they were given.
        speakers: the value of --speakers: one of `HOWS`, or where a path tells it (`speaker_in_path`); whose speaker no table tells has
            that one, spelt as in training.

    Raises:
        SereError: C302.
    """
    if speakers in HOWS:
        return once(sources), cast(How, speakers)
    find = speaker_in_path(speakers, "--speakers")
    return once(each if each.speaker else replace(each, speaker=written(find(each))) for each in sources), "column"


def once(sources: Iterable[Source]) -> list[Source]:
    """The same without what stands there again: a path, whatever it links to, with the times, the language and the speaker.

    Where only one of two knows the speaker, as the folder that is given above another may, that one stays.

    >>> few = once([Source(Path("a.wav")), Source(Path("./a.wav")), Source(Path("a.wav"), end=1.0), Source(Path("a.wav"), speaker="s")])
    >>> [(each.end, each.speaker) for each in few]
    [(1.0, ''), (None, 's')]
    """
    listed = [((each.path.absolute(), each.start, each.end, each.language), each) for each in sources]
    known = {key for key, each in listed if each.speaker}
    found: dict[object, Source] = {}
    for key, each in listed:
        if each.speaker or key not in known:
            found.setdefault((key, each.speaker), each)
    return list(found.values())


def _read(word: str) -> Iterable[Source]:
    path = expanded(word)
    if word == "-":
        return _list(sys.stdin.buffer.read())
    if word.startswith("@") and not path.exists():
        return _list(_content(expanded(word[1:])))
    if path.is_dir():
        return _folder(path)
    if path.suffix.lower() in TABLES:
        return _table(path)
    if not path.exists() and glob.has_magic(word):
        found = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        if not found:
            raise error("D602", f"nothing matches {word}")
        return [each for name in found for each in (_folder(name) if name.is_dir() else [Source(name)])]
    return [Source(path)]


def _folder(folder: Path) -> list[Source]:
    closed = list[Source]()
    below = visible_files(folder, lambda cause: closed.append(Source(Path(cause.filename))))
    found = [Source(path, below=path.relative_to(folder)) for path in below if path.suffix.lower() in AUDIO_SUFFIXES]
    found += closed  # a folder that may not be entered is a row that says so
    if not found:
        raise error("D602", f"no audio file in {folder}", f"files are taken that end in {', '.join(sorted(AUDIO_SUFFIXES))}")
    return found


def _list(content: bytes) -> list[Source]:
    """A path may hold whatever a file system takes, so it is not decoded as text."""
    end = b"\0" if b"\0" in content else b"\n"
    lines = (line.removesuffix(b"\r") for line in content.removeprefix(b"\xef\xbb\xbf").split(end))
    return [Source(expanded(os.fsdecode(line))) for line in lines if line.strip()]


def _content(path: Path) -> bytes:
    try:
        return read_file(path)
    except (OSError, ValueError) as cause:  # or a NUL byte
        raise error("D601", f"{path} cannot be read: {getattr(cause, 'strerror', cause)}") from cause


def _table(path: Path) -> Iterator[Source]:
    try:
        text = _content(path).decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise error("D610", f"not UTF-8: {cause.reason}", place=Place(str(path))) from cause
    delimiter = max(",;\t", key=text.partition("\n")[0].count)  # spreadsheets of many countries write semicolons
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 0
    try:
        found = [each.strip().lower() for each in next(rows, [])]
        names = {other: name for name, other in other_names(found).items()}
        columns = [names.get(each, each) for each in found]
        if "path" not in columns:
            what = f"no column 'path'; the columns are {', '.join(found) or 'none'}"
            raise error("D610", what, "columns: path[, start, end, speaker, language]", Place(str(path), 1))
        for name in COLUMNS:
            near = difflib.get_close_matches(name, [each for each in columns if each not in COLUMNS], n=1, cutoff=0.8)
            if name not in columns and near:
                raise error("D610", f"no column {name!r}, but one called {near[0]!r}", "rename it, or remove it", Place(str(path), 1))
        for name in found:
            if name and found.count(name) > 1:
                raise error("D610", f"column {name!r} stands twice", "rename one, or remove it", Place(str(path), 1))
        line = rows.line_num
        for cells in rows:
            line = rows.line_num
            if not any(map(str.strip, cells)):
                continue
            if len(cells) != len(columns):
                what = f"{len(cells)} values, but the header has {len(columns)} columns"
                raise error("D610", what, f"quote a value that holds {delimiter!r}", Place(str(path), line))
            yield _source(dict(zip(columns, cells, strict=True)), path, line)
    except csv.Error as cause:  # of the line that it begins on
        raise error("D610", f"no table: {cause}", place=Place(str(path), line + 1)) from cause


def _source(row: dict[str, str], table: Path, line: int) -> Source:
    """One line of a table, whose paths are relative to it."""
    if not row.get("path", "").strip():
        raise error("D610", "no path", place=Place(str(table), line))
    times: dict[str, float | None] = {}
    for key in ("start", "end"):
        text = written(row.get(key, ""))
        try:
            times[key] = value = float(text) if text else None
        except ValueError:
            value = math.nan
        if value is not None and not 0 <= value < math.inf:
            raise error("D610", f"{key} {text!r} is no time in seconds", place=Place(str(table), line))
    speaker, spoken = (meant(written(row.get(key, ""))) for key in ("speaker", "language"))
    language = language_tag(spoken)
    if spoken and not language:
        raise error("D610", f"language {spoken!r} is unknown", "an ISO 639 code such as de", Place(str(table), line))
    return Source(table.parent / expanded(row["path"]), times["start"], times["end"], speaker, language)
