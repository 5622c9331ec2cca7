"""A corpus of one's own: a CSV, TSV or JSONL file with a line for each utterance."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sere_plugins.corpora.folder import few
from sere_plugins.specs.corpora import ManifestParams
from sere_registry.emotions import EMOTIONS, canonical
from sere_registry.errors import Place, Problem, SereError, error, suggest
from sere_registry.protocols import BuildContext
from sere_registry.utterances import Finding, Recording, Utterance

#: problems shown at once; a wrong column would otherwise print a line for every utterance
SHOWN = 20
REQUIRED = ("path", "speaker", "emotion")
COLUMNS = (*REQUIRED, "language", "id", "gender", "text", "start", "end")
GENDERS = {"f": "female", "female": "female", "w": "female", "m": "male", "male": "male"}


@dataclass(frozen=True)
class Row:
    """One utterance's line: its place in the file, its values by column, stripped, and what is wrong with it."""

    place: Place
    values: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)

    def text(self, column: str) -> str:
        """The value of a column, "" if there is none."""
        return self.values.get(column, "")

    def wrong(self, message: str, hint: str = "", code: str = "D610") -> None:
        """Note a problem."""
        self.problems.append(Problem(code, message, hint, self.place))

    def seconds(self, column: str) -> float | None:
        """A column that holds seconds."""
        written = self.text(column)
        try:
            seconds = float(written or 0)
        except ValueError:
            seconds = -1.0
        if 0.0 <= seconds < float("inf"):
            return seconds if written else None
        self.wrong(f"{column} {written!r} is not a number of seconds")
        return None


class Manifest:
    """Utterances that a `.csv`, `.tsv` or `.jsonl` file lists.

    Columns (keys): `path` (relative to the file), `speaker` (empty on every line if there are none), `emotion`,
    `language` (may be a parameter instead), and optionally `id` (default: the path without suffix), `gender`, `text`,
    `start` and `end` in seconds.  Any other is ignored and named in the findings.
    """

    def __init__(self, params: ManifestParams, context: BuildContext) -> None:
        self.params = params
        self.file = Path(params.file).expanduser()
        self.corpus = context.id

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the utterances."""
        return tuple(sorted({utterance.recording.language for utterance in self._content[0]}))

    def utterances(self) -> Sequence[Utterance]:
        """All utterances, sorted by id.

        Raises:
            SereError: D601 (no such file), D602 (no line in it), D610 and D603 with file and line, all at once.
        """
        return self._content[0]

    def findings(self) -> Sequence[Finding]:
        """Lines left out because of their label, and columns that are not read."""
        return self._content[1]

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Nothing: the audio is there."""

    @cached_property
    def _content(self) -> tuple[tuple[Utterance, ...], tuple[Finding, ...]]:
        rows = read_rows(self.file)
        dropped = Counter(row.text("emotion") for row in rows if self.params.labels.get(row.text("emotion"), "") is None)
        problems: list[Problem] = []
        found: dict[str, tuple[int | None, Utterance]] = {}
        speakerless: dict[bool, Place] = {}
        for row in rows:
            utterance = self._read(row)
            if utterance is not None:
                if utterance.id in found:
                    hint = "lines that are parts of one file need a start, or a column id"
                    row.wrong(f"id {utterance.id!r} stands on line {found[utterance.id][0]} too", hint)
                speakerless.setdefault(not utterance.speaker, row.place)
                found[utterance.id] = (row.place.line, utterance)
            problems += row.problems
        if len(speakerless) == 2:
            hint = "give every line a speaker, or none"
            problems.append(Problem("D610", "no speaker, while other lines have one", hint, speakerless[True]))
        if len(problems) > SHOWN:
            more = f"and {len(problems) - SHOWN} more problems of this kind or others"
            problems[SHOWN:] = [Problem(problems[SHOWN].code, more)]
        if problems:
            raise SereError(*problems)
        if not found:
            hint = "write a header and a line for each utterance"
            raise error("D602", f"{self.file} lists no utterances", hint, Place(str(self.file)))
        as_said = "left out, as params.labels says"
        findings = [Finding("note", f"{number} lines labelled {label!r} {as_said}") for label, number in dropped.items()]
        unread = sorted({column for row in rows for column in row.values}.difference(COLUMNS))
        if unread:
            findings.append(Finding("note", f"columns not read: {few(unread)}"))
        return tuple(utterance for _, (_, utterance) in sorted(found.items())), tuple(findings)

    def _read(self, row: Row) -> Utterance | None:
        """One line; None if it is left out or wrong."""
        emotion = self._emotion(row)
        language = row.text("language") or self.params.language
        if not language:
            row.wrong("no language", "add a column 'language', or set params.language")
        gender = row.text("gender").lower()
        if gender and gender not in GENDERS:
            row.wrong(f"gender {gender!r} is unknown", suggest(gender, ("female", "male")))
        start, end = row.seconds("start"), row.seconds("end")
        if end is not None and end <= (start or 0.0):
            row.wrong(f"end {end:g} is not after start {start or 0.0:g}")
        path = self.file.parent / Path(row.text("path")).expanduser()
        if not row.text("path"):
            row.wrong("no path")
        elif not path.is_file():
            row.wrong(f"audio file {path} does not exist", "paths are relative to the manifest's folder", "D603")
        if row.problems or emotion is None:
            return None
        part = "" if start is None and end is None else f"#{start or 0.0:g}"
        recording = Recording(
            id=row.text("id") or Path(row.text("path")).with_suffix("").as_posix() + part,
            path=path,
            corpus=self.corpus,
            language=language,
            speaker=row.text("speaker"),
            gender=GENDERS.get(gender),
            text=row.text("text") or None,
            start=start,
            end=end,
        )
        return Utterance(recording, emotion)

    def _emotion(self, row: Row) -> str | None:
        """The emotion in the vocabulary's word; None for a line that is left out or wrong."""
        label = row.text("emotion")
        mapped = self.params.labels.get(label, label)
        emotion = None if mapped is None else canonical(mapped)
        if not label:
            row.wrong("no emotion")
        elif mapped is not None and emotion is None:
            hint = f"{suggest(label, EMOTIONS, 'emotions')}; params.labels maps others: labels: {{{label}: <emotion or null>}}"
            row.wrong(f"emotion {label!r} is unknown", hint)
        return emotion


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
        place = Place(str(file), cause.object[: cause.start].count(b"\n") + 1)
        raise error("D610", f"not UTF-8: {cause.reason}", "save the manifest as UTF-8", place) from cause
    return tuple(reader(file, text))


def _csv(file: Path, text: str) -> Iterator[Row]:
    delimiter = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    try:
        for values in reader:
            place = Place(str(file), reader.line_num)
            if not any(value.strip() for value in values):
                continue
            if not columns:
                columns = [value.strip().lower() for value in values]
                if problems := _incomplete(columns, place):
                    raise SereError(*problems)
            elif len(values) != len(columns):
                message = f"{len(values)} values, but the header has {len(columns)} columns"
                raise error("D610", message, f"quote a value that holds {delimiter!r}", place)
            else:
                yield Row(place, dict(zip(columns, (value.strip() for value in values), strict=True)))
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
            place = Place(str(file), number, cause.colno)
            problems.append(Problem("D610", f"not JSON: {cause.msg}", "one object on each line", place))
            continue
        if not isinstance(values, dict) or any(isinstance(value, (dict, list)) for value in values.values()):
            hint = 'such as {"path": "a.wav", "speaker": "s1", "emotion": "anger"}'
            problems.append(Problem("D610", "not an object of plain values", hint, place))
            continue
        problems += _incomplete(values, place)
        yield Row(place, {name: "" if value is None else str(value).strip() for name, value in values.items()})
    if problems:
        raise SereError(*problems[:SHOWN])


def _incomplete(columns: Iterable[str], place: Place) -> list[Problem]:
    """Required columns that are not there, and columns that stand twice."""
    known = list(columns)
    gone = [column for column in REQUIRED if column not in known]
    problems = [Problem("D610", f"no column {column!r}", suggest(column, known, "columns"), place) for column in gone]
    twice = sorted({column for column in known if known.count(column) > 1})
    return problems + [Problem("D610", f"column {column!r} stands twice", "", place) for column in twice]
