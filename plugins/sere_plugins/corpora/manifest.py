"""A corpus of one's own: a CSV or JSONL file with a line for each utterance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from sere_plugins.corpora.layout import few
from sere_plugins.corpora.rows import Row, read_rows
from sere_plugins.specs.corpora import ManifestParams
from sere_registry.emotions import EMOTIONS, canonical
from sere_registry.errors import Place, Problem, SereError, error, suggest
from sere_registry.protocols import BuildContext
from sere_registry.utterances import Finding, Recording, Utterance

#: problems shown at once; a wrong column would otherwise print a line for every utterance
SHOWN = 20
COLUMNS = ("path", "speaker", "emotion", "language", "id", "gender", "text", "start", "end")
GENDERS = {"f": "female", "female": "female", "w": "female", "m": "male", "male": "male"}


class Manifest:
    """Utterances that a `.csv`, `.tsv` or `.jsonl` file lists.

    Columns (keys): `path` (relative to the file), `speaker` (empty on every line if there are none), `emotion`, `language`
    (may be a parameter instead), and optionally `id` (default: the path without suffix), `gender`, `text`, `start` and
    `end` in seconds.  Any other is ignored and named in the findings.
    """

    def __init__(self, params: ManifestParams, context: BuildContext) -> None:
        self.params = params
        self.file = Path(params.file).expanduser()
        self.corpus = context.id
        self._dropped: dict[str, int] = {}

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the utterances."""
        return tuple(sorted({utterance.recording.language for utterance in self._utterances}))

    def utterances(self) -> Sequence[Utterance]:
        """All utterances, sorted by id.

        Raises:
            SereError: D601 (no such file), D602 (no line in it), D610 and D603 with file and line, all at once.
        """
        return self._utterances

    def findings(self) -> Sequence[Finding]:
        """Lines left out because of their label, and columns that are not read."""
        self.utterances()
        dropped = self._dropped.items()
        found = [Finding("note", f"{number} lines labelled {label!r} left out, as params.labels says") for label, number in dropped]
        unread = sorted({column for row in self._rows for column in row.values}.difference(COLUMNS))
        if unread:
            found.append(Finding("note", f"columns not read: {few(unread)}"))
        return found

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Nothing: the audio is there."""

    @cached_property
    def _rows(self) -> tuple[Row, ...]:
        return read_rows(self.file)

    @cached_property
    def _utterances(self) -> tuple[Utterance, ...]:
        problems: list[Problem] = []
        found: dict[str, tuple[int, Utterance]] = {}
        speakerless: dict[bool, int] = {}
        for row in self._rows:
            utterance = self._read(row, problems)
            if utterance is None:
                continue
            if utterance.id in found:
                hint = "lines that are parts of one file need a start, or a column id"
                problems.append(self._problem(row, f"id {utterance.id!r} stands on line {found[utterance.id][0]} too", hint))
            speakerless.setdefault(not utterance.speaker, row.line)
            found[utterance.id] = (row.line, utterance)
        if len(speakerless) == 2:
            place = Place(str(self.file), speakerless[True])
            problems.append(Problem("D610", "no speaker, while other lines have one", "give every line a speaker, or none", place))
        if problems:
            raise SereError(*_shortened(problems))
        if not found:
            raise error("D602", f"{self.file} lists no utterances", "write a header and a line for each utterance", Place(str(self.file)))
        return tuple(utterance for _, (_, utterance) in sorted(found.items()))

    def _read(self, row: Row, problems: list[Problem]) -> Utterance | None:
        """One line, or None if it is left out or wrong; what is wrong is added to the problems."""
        before = len(problems)
        emotion = self._emotion(row, problems)
        language = row.text("language") or self.params.language
        if not language:
            problems.append(self._problem(row, "no language", "add a column 'language', or set params.language"))
        if "speaker" not in row.values:
            problems.append(self._problem(row, "no speaker", "add it, empty on every line if there are no speakers"))
        gender = row.text("gender").lower()
        if gender and gender not in GENDERS:
            problems.append(self._problem(row, f"gender {gender!r} is unknown", suggest(gender, ("female", "male"))))
        start, end = self._seconds(row, "start", problems), self._seconds(row, "end", problems)
        if end is not None and end <= (start or 0.0):
            problems.append(self._problem(row, f"end {end:g} is not after start {start or 0.0:g}"))
        path = self._path(row, problems)
        if len(problems) > before or emotion is None or path is None:
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

    def _emotion(self, row: Row, problems: list[Problem]) -> str | None:
        label = row.text("emotion")
        if not label:
            problems.append(self._problem(row, "no emotion"))
            return None
        if label in self.params.labels:
            mapped = self.params.labels[label]
            if mapped is None:
                self._dropped[label] = self._dropped.get(label, 0) + 1
                return None
            return canonical(mapped)
        emotion = canonical(label)
        if emotion is None:
            hint = f"{suggest(label, EMOTIONS, 'emotions')}; params.labels maps others: labels: {{{label}: <emotion or null>}}"
            problems.append(self._problem(row, f"emotion {label!r} is unknown", hint))
        return emotion

    def _path(self, row: Row, problems: list[Problem]) -> Path | None:
        written = row.text("path")
        if not written:
            problems.append(self._problem(row, "no path"))
            return None
        path = self.file.parent / Path(written).expanduser()
        if not path.is_file():
            problems.append(self._problem(row, f"audio file {path} does not exist", "paths are relative to the manifest's folder", "D603"))
            return None
        return path

    def _seconds(self, row: Row, column: str, problems: list[Problem]) -> float | None:
        written = row.text(column)
        if not written:
            return None
        try:
            seconds = float(written)
        except ValueError:
            seconds = -1.0
        if not 0.0 <= seconds < float("inf"):
            problems.append(self._problem(row, f"{column} {written!r} is not a number of seconds"))
            return None
        return seconds

    def _problem(self, row: Row, message: str, hint: str = "", code: str = "D610") -> Problem:
        return Problem(code, message, hint, Place(str(self.file), row.line))


def _shortened(problems: Sequence[Problem]) -> Sequence[Problem]:
    if len(problems) <= SHOWN:
        return problems
    return [*problems[:SHOWN], Problem(problems[SHOWN].code, f"and {len(problems) - SHOWN} more problems of this kind or others")]
