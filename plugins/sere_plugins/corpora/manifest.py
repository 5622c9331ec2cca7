"""A corpus of one's own: a CSV, TSV or JSONL file with a line for each utterance."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from sere_plugins.corpora.rows import SHOWN, Row, RowCorpus
from sere_plugins.specs.corpora import ManifestParams
from sere_registry.cells import meant
from sere_registry.errors import Place, Problem, SereError, error, suggest
from sere_registry.files import expanded, read_file
from sere_registry.protocols import BuildContext

_NOT_TEXT = ("not UTF-8", "save the manifest as UTF-8")


class Manifest(RowCorpus):
    """Utterances that a `.csv`, `.tsv` or `.jsonl` file lists.

    Columns (keys): `path` (relative to the file), and optionally `emotion` (missing or empty: unlabelled), `speaker`
    (empty on every line if there are none), `language` (may be a parameter instead), `id` (default: the path without
    suffix), `gender`, `text`, `start` and `end` in seconds.  The parameter `columns` reads other names.  Any other
    column is ignored and named in the findings.
    """

    def __init__(self, params: ManifestParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.file = expanded(params.file)

    @property
    def source(self) -> Path:
        return self.file

    def rows(self) -> Iterable[Row]:
        """All lines that are not blank.

        Raises:
            SereError: D601 (no such file), D610 (not what the suffix says; no column `path`).
        """
        readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl}
        reader = readers.get(self.file.suffix.lower())
        if reader is None:
            hint = "its name must end in .csv, .tsv or .jsonl"
            raise error("D610", f"{self.file.name} is not a manifest", hint, Place(str(self.file)))
        try:
            content = read_file(self.file).removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        except (OSError, ValueError) as cause:  # or a NUL byte in its name
            raise error("D601", f"manifest {str(self.file)[:300]} cannot be read: {getattr(cause, 'strerror', cause)}") from cause
        return reader(self.file, content.decode(errors="surrogateescape"), self.columns)


def _csv(file: Path, text: str, mapped: Mapping[str, str | None]) -> Iterator[Row]:
    delimiter = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=text.partition("\n")[0].count)
    columns: list[str] = []
    for number, values in _records(text, delimiter):
        row = Row(Place(str(file), number), {})
        if isinstance(values, csv.Error):
            row.wrong(f"not CSV: {values}")
        elif not any(value.strip() for value in values):
            continue
        elif not _is_text(values):
            row.wrong(*_NOT_TEXT)
        elif not columns:
            columns = _names(values, mapped)
            if problems := _wrong(columns, values, mapped, row.place):
                raise SereError(*problems)
        elif len(values) != len(columns):
            row.wrong(f"{len(values)} values, but the header has {len(columns)} columns", f"quote a value that holds {delimiter!r}")
        else:
            row = Row(row.place, dict(zip(columns, (meant(value.strip()) for value in values), strict=True)))
        if row.problems and not columns:
            raise SereError(*row.problems)
        if row.problems or row.values:
            yield row


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Line by line of a table, and the number of the line; after one that is no CSV, such as an open quote, from the next on."""
    lines, start, errors = list(io.StringIO(text)), 0, 0
    while start < len(lines) and errors < SHOWN:
        reader = csv.reader(islice(lines, start, None), delimiter=delimiter, strict=True)
        begin = start
        try:
            for values in reader:
                begin = start + reader.line_num
                yield begin, values
            return
        except csv.Error as cause:
            yield begin + 1, cause
            start, errors = begin + 1, errors + 1


def _is_text(values: Iterable[object]) -> bool:
    """Are there no bytes that are not UTF-8, and no half characters of JSON?"""
    try:
        "".join(map(str, values)).encode()
    except UnicodeEncodeError:
        return False
    return True


def _jsonl(file: Path, text: str, mapped: Mapping[str, str | None]) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = Place(str(file), number)
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as cause:
            place = replace(place, column=getattr(cause, "colno", None))
            problems = [Problem("D610", f"not JSON: {getattr(cause, 'msg', cause)}", "one object on each line", place)]
        else:
            problems = _odd(values, place) or _wrong(_names(list(values), mapped), list(values), {}, place)
        if problems:
            yield Row(place, {}, problems)
            continue
        cells = (_cell(value).strip() for value in values.values())
        yield Row(place, dict(zip(_names(list(values), mapped), cells, strict=True)))


def _cell(value: object) -> str:
    """A value of JSON as a table has it; whole numbers that were written as fractions, as pandas does beside NaN, as whole ones."""
    return "" if value is None else str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _odd(values: object, place: Place) -> list[Problem]:
    """What is wrong with a line of JSON that should be one object of plain values, in text."""
    if not isinstance(values, dict) or any(isinstance(value, (dict, list)) for value in values.values()):
        hint = 'such as {"path": "a.wav", "speaker": "s1", "emotion": "anger"}'
        return [Problem("D610", "not an object of plain values", hint, place)]
    return [] if _is_text((*values, *values.values())) else [Problem("D610", *_NOT_TEXT, place)]


def _names(columns: Sequence[str], mapped: Mapping[str, str | None]) -> list[str]:
    """What the columns of a file are called here; one whose name another column was given keeps it, with a mark."""
    known = {given.strip().lower(): name for name, given in mapped.items() if given}
    lower = [column.strip().lower() for column in columns]
    return [known.get(column, f"{column} of the file" if column in mapped else column) for column in lower]


def _wrong(columns: Sequence[str], header: Sequence[str], mapped: Mapping[str, str | None], place: Place) -> list[Problem]:
    """Columns that are missing, that stand twice, or that seem misspelt; `header` is what the file calls them."""
    problems = []
    for name in dict.fromkeys(["path", *(name for name, given in mapped.items() if given)]):
        if name not in columns:
            given = mapped.get(name) or name
            hint = f"{suggest(given, header, 'columns')}; params.columns: {{{name}: NAME}} reads another"
            problems.append(Problem("D610", f"no column {given!r}", hint, place))
    for name in ("emotion", "speaker"):
        near = difflib.get_close_matches(name, columns, n=1, cutoff=0.8)
        if name not in columns and name not in mapped and near:
            hint = f"params.columns: {{{name}: {near[0]}}} reads it, {{{name}: null}} does without"
            problems.append(Problem("D610", f"no column {name!r}, but one called {near[0]!r}", hint, place))
    twice = sorted({column for column in columns if columns.count(column) > 1})
    return problems + [Problem("D610", f"column {column!r} stands twice", "", place) for column in twice]
