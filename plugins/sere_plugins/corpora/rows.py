"""The lines of a CSV, TSV or JSONL file, each with its number."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sere_registry.errors import Place, Problem, SereError, error, suggest

REQUIRED = ("path", "speaker", "emotion")


@dataclass(frozen=True)
class Row:
    """One utterance's line: its number in the file, counted from 1, and its values by column, stripped."""

    line: int
    values: Mapping[str, str]

    def text(self, column: str) -> str:
        """The value of a column, "" if there is none."""
        return self.values.get(column, "")


def read_rows(file: Path) -> tuple[Row, ...]:
    """All lines that are not blank.

    Raises:
        SereError: D601 (no such file), D610 (not what the suffix says; a required column is missing).
    """
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise error("D610", f"{file.name} is not a manifest", "its name must end in .csv, .tsv or .jsonl", Place(str(file)))
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as cause:
        raise error("D601", f"manifest {file} cannot be read: {cause.strerror}") from cause
    except UnicodeDecodeError as cause:
        line = cause.object[: cause.start].count(b"\n") + 1
        raise error("D610", f"not UTF-8: {cause.reason}", "save the manifest as UTF-8", Place(str(file), line)) from cause
    return tuple(reader(file, text))


def _csv(file: Path, text: str) -> Iterator[Row]:
    delimiter = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    try:
        for values in reader:
            if not any(value.strip() for value in values):
                continue
            if not columns:
                columns = [value.strip().lower() for value in values]
                _complete(file, reader.line_num, columns)
                continue
            if len(values) != len(columns):
                message = f"{len(values)} values, but the header has {len(columns)} columns"
                raise error("D610", message, f"quote a value that holds {delimiter!r}", Place(str(file), reader.line_num))
            yield Row(reader.line_num, dict(zip(columns, (value.strip() for value in values), strict=True)))
    except csv.Error as cause:
        raise error("D610", f"not CSV: {cause}", place=Place(str(file), reader.line_num)) from cause


def _jsonl(file: Path, text: str) -> Iterator[Row]:
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = Place(str(file), number)
        try:
            values = json.loads(line)
        except json.JSONDecodeError as cause:
            problems.append(Problem("D610", f"not JSON: {cause.msg}", "one object on each line", Place(str(file), number, cause.colno)))
            continue
        if not isinstance(values, dict) or any(isinstance(value, (dict, list)) for value in values.values()):
            hint = 'such as {"path": "a.wav", "speaker": "s1", "emotion": "anger"}'
            problems.append(Problem("D610", "not an object of plain values", hint, place))
            continue
        try:
            _complete(file, number, values)
        except SereError as cause:
            problems += cause.problems
            continue
        yield Row(number, {name: "" if value is None else str(value).strip() for name, value in values.items()})
    if problems:
        raise SereError(*problems[:20])


def _complete(file: Path, line: int, columns: Iterable[str]) -> None:
    known = list(columns)
    problems = [
        Problem("D610", f"no column {column!r}", suggest(column, known, "columns"), Place(str(file), line))
        for column in REQUIRED
        if column not in known
    ]
    twice = sorted({column for column in known if known.count(column) > 1})
    problems += [Problem("D610", f"column {column!r} stands twice", "", Place(str(file), line)) for column in twice]
    if problems:
        raise SereError(*problems)
