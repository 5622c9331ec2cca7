"""A corpus of one's own: a CSV, TSV or JSONL file with a line for each utterance."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from sere_plugins.corpora.rows import SHOWN, Row, RowCorpus
from sere_plugins.specs.corpora import ManifestParams
from sere_registry.errors import Place, Problem, SereError, error, suggest
from sere_registry.files import expanded, read_file
from sere_registry.protocols import BuildContext


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
            text = read_file(self.file).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError as cause:
            place = Place(str(self.file), cause.object[: cause.start].count(b"\n") + 1)
            raise error("D610", f"not UTF-8: {cause.reason}", "save the manifest as UTF-8", place) from cause
        except (OSError, ValueError) as cause:  # or a NUL byte in its name
            raise error("D601", f"manifest {str(self.file)[:300]} cannot be read: {getattr(cause, 'strerror', cause)}") from cause
        return reader(self.file, text, self.columns)


def _csv(file: Path, text: str, mapped: Mapping[str, str | None]) -> Iterator[Row]:
    delimiter = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    try:
        for values in reader:
            place = Place(str(file), reader.line_num)
            if not any(value.strip() for value in values):
                continue
            if not columns:
                columns = _names(values, mapped)
                if problems := _wrong(columns, values, mapped, place):
                    raise SereError(*problems)
            elif len(values) != len(columns):
                message = f"{len(values)} values, but the header has {len(columns)} columns"
                raise error("D610", message, f"quote a value that holds {delimiter!r}", place)
            else:
                yield Row(place, dict(zip(columns, (value.strip() for value in values), strict=True)))
    except csv.Error as cause:
        raise error("D610", f"not CSV: {cause}", place=Place(str(file), reader.line_num)) from cause


def _jsonl(file: Path, text: str, mapped: Mapping[str, str | None]) -> Iterator[Row]:
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = Place(str(file), number)
        try:
            values = json.loads(line)
        except json.JSONDecodeError as cause:
            place = Place(str(file), number, cause.colno)
            problems.append(Problem("D610", f"not JSON: {cause.msg}", "one object on each line", place))
            continue
        if not isinstance(values, dict) or any(isinstance(value, (dict, list)) for value in values.values()):
            hint = 'such as {"path": "a.wav", "speaker": "s1", "emotion": "anger"}'
            problems.append(Problem("D610", "not an object of plain values", hint, place))
            continue
        columns = _names(list(values), mapped)
        problems += _wrong(columns, list(values), {}, place)
        cells = ("" if value is None else str(value).strip() for value in values.values())
        yield Row(place, dict(zip(columns, cells, strict=True)))
    if problems:
        raise SereError(*problems[:SHOWN])


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
