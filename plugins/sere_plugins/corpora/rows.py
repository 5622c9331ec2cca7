"""A corpus of one's own, row by row: what its values and labels mean, and what is wrong with them."""

from __future__ import annotations

import importlib
import json
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sere_plugins.corpora.folder import few
from sere_plugins.specs.corpora import LANGUAGES, OwnParams
from sere_registry.emotions import EMOTIONS, UNKNOWN, canonical, class_name
from sere_registry.errors import Place, Problem, SereError, error, suggest
from sere_registry.files import check_file, expanded
from sere_registry.protocols import BuildContext
from sere_registry.spelling import language_tag, spelling_key, written
from sere_registry.utterances import Finding, Recording, Utterance

#: problems shown at once; a wrong column would otherwise print a line for every utterance
SHOWN = 20
#: what tables of others call a column
ALIASES = {
    "emotion": ("emotion", "label"),
    "speaker": ("speaker", "speaker_id"),
    "gender": ("gender", "sex"),
    "text": ("text", "transcription", "sentence"),
}
COLUMNS = ("path", "speaker", "emotion", "language", "id", "gender", "text", "start", "end")
GENDERS = {"f": "female", "female": "female", "w": "female", "m": "male", "male": "male", "other": None, "unknown": None}


@dataclass(frozen=True)
class Row:
    """One utterance: where it is listed, its values by column, and what is wrong with it; of a row that cannot be read, only that."""

    place: Place
    values: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)

    def text(self, column: str) -> str:
        """The value of a column as `written` has it, a path as it stands; "" if there is none."""
        value = self.values.get(column, "")
        return value if column == "path" else written(value)

    @property
    def label(self) -> str:
        """The emotion; a spelling of no value as it stands, since `labels` may map it."""
        return self.text("emotion") or self.values.get("emotion", "").strip()

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
        self.wrong(f"{column} {written!r} is no time in seconds", "such as 1.25, counted from the beginning of the file")
        return None


class RowCorpus(ABC):
    """Utterances that something lists as rows of `COLUMNS`; all columns but `path` may be missing or empty.

    A row's label is an emotion of the vocabulary, a word that the parameter `labels` maps, or a class name of the
    user's own: one that `labels` maps to or that `task.classes` lists.  An empty label, or `unknown`, is none: the
    utterance is unlabelled.
    """

    def __init__(self, params: OwnParams, context: BuildContext) -> None:
        self.params: OwnParams = params
        self.columns: Mapping[str, str | None] = getattr(params, "columns", {})
        self.corpus = context.id
        labels = {unicodedata.normalize("NFC", label).strip(): emotion for label, emotion in params.labels.items()}
        self._labels = {label.casefold(): emotion for label, emotion in labels.items()} | labels
        self._own = {*context.classes, *(name for name in map(_class, params.labels.values()) if name)}

    @property
    @abstractmethod
    def source(self) -> Path:
        """The file or folder that lists the utterances, for messages."""

    @abstractmethod
    def rows(self) -> Iterable[Row]:
        """All rows.

        Raises:
            SereError: D601, D602, D610, P108.
        """

    def audio(self, row: Row) -> Path:
        """The audio file of a row; it has to exist."""
        path = self.source.parent.absolute() / expanded(row.text("path"))
        if not row.text("path"):
            row.wrong("no path")
            return path
        try:
            check_file(path)
        except (OSError, ValueError) as cause:  # or a NUL byte
            hint = "paths are relative to the manifest's folder"
            if isinstance(cause, FileNotFoundError):
                row.wrong(f"audio file {path} does not exist", hint, "D603")
            else:
                row.wrong(f"audio file {str(path)[:300]!r} cannot be read: {getattr(cause, 'strerror', cause)}", hint, "D603")
        return path

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the utterances."""
        return tuple(sorted({utterance.recording.language for utterance in self.utterances()}))

    def utterances(self) -> Sequence[Utterance]:
        """All utterances, sorted by id.

        Raises:
            SereError: D601 (nothing there), D602 (no row in it), D610 and D603 with their places, all at once.
        """
        found, problems = self._content
        if len(problems) > SHOWN:
            more = f"and {len(problems) - SHOWN} more problems of this kind or others"
            problems = [*problems[:SHOWN], Problem(problems[SHOWN].code, more)]
        if problems:
            raise SereError(*problems)
        return tuple(found)

    def readable(self) -> tuple[Mapping[Utterance, Place], Sequence[Problem]]:
        """The utterances of rows with which nothing is wrong and where they are listed, sorted by id; and all problems."""
        return self._content

    def findings(self) -> Sequence[Finding]:
        """Rows left out because of their label, unlabelled ones, spellings to look at, and columns that are not read."""
        return tuple(self._findings())

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:  # noqa: B027  (may be overridden)
        """Nothing: the audio is there."""

    @cached_property
    def _rows(self) -> tuple[Row, ...]:
        return tuple(self.rows())

    @cached_property
    def _content(self) -> tuple[dict[Utterance, Place], list[Problem]]:
        problems: list[Problem] = []
        found: dict[str, tuple[Place, Utterance]] = {}
        speakerless: dict[bool, Place] = {}
        for row in self._rows:
            utterance = self._read(row)
            if utterance is not None:
                if utterance.id in found:
                    hint = "an id is the path without suffix, and the start of a part; a column id tells rows apart"
                    there = found[utterance.id][0]
                    row.wrong(f"id {utterance.id!r} stands on line {there.line} too", hint)
                speakerless.setdefault(not utterance.speaker, row.place)
                found[utterance.id] = (row.place, utterance)
            problems += row.problems
        if len(speakerless) == 2:
            hint = "give every row a speaker, or none: params.columns: {speaker: null} reads none"
            problems.append(Problem("D610", "no speaker, while other rows have one", hint, speakerless[True]))
        if not found and not problems:
            hint = "write a header and a line for each utterance"
            raise error("D602", f"{self.source} lists no utterances", hint, Place(str(self.source)))
        return {utterance: place for _, (place, utterance) in sorted(found.items())}, _merged(problems)

    def _findings(self) -> Iterable[Finding]:
        rows, utterances = self._rows, self._content[0]
        dropped = Counter(row.label for row in rows if self._rule(row) is None)
        for label, number in dropped.items():
            yield Finding("note", f"{number} rows labelled {label!r} left out, as params.labels says")
        without = sum(not each.emotion for each in utterances)
        if without:
            yield Finding("note", f"{without} of {len(utterances)} utterances are unlabelled")
        alike = defaultdict[str, set[str]](set)
        for name in {each.speaker for each in utterances}:
            alike[spelling_key(name)].add(name)
        pairs = [" and ".join(map(repr, sorted(names))) for names in alike.values() if len(names) > 1]
        if pairs:
            what = f"[D610] speakers whose names differ only in spelling count as different people: {few(pairs)}"
            yield Finding("warning", f"{what}; if they are one, write one name")
        genders = defaultdict[str, set[str]](set)
        for each in utterances:
            genders[each.speaker].add(each.recording.gender or "")
        both = sorted(name for name, found in genders.items() if name and len(found - {""}) > 1)
        if both:
            yield Finding("warning", f"[D610] speakers of more than one gender: {few(map(repr, both))}; are they one person?")
        unread = sorted({column for row in rows for column in row.values}.difference(COLUMNS))
        if unread:
            mapped = without < len(utterances) or "emotion" in self.columns
            maps = "" if mapped else "; if one of them is the emotion: columns: {emotion: NAME}"
            yield Finding("missing" if maps else "note", f"columns not read: {few(each or 'one without a name' for each in unread)}{maps}")

    def _read(self, row: Row) -> Utterance | None:
        """One row; None if it is left out or wrong."""
        if row.problems and not row.values:
            return None
        emotion = self._emotion(row)
        spoken = row.text("language")
        language = language_tag(spoken) if spoken else self.params.language
        if spoken and not language:
            row.wrong(f"language {spoken!r} is unknown", LANGUAGES)
        elif not language:
            row.wrong("no language", "add a column 'language', or set params.language")
        gender = row.text("gender").lower()
        if gender and gender not in GENDERS:
            row.wrong(f"gender {gender!r} is unknown", suggest(gender, GENDERS))
        start, end = row.seconds("start"), row.seconds("end")
        if end is not None and end <= (start or 0.0):
            row.wrong(f"end {end:g} is not after start {start or 0.0:g}")
        path = self.audio(row)
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
        """What a label means: a class, or "" for no label; None for a row that is left out or wrong."""
        if (mapped := self._rule(row)) != "":
            return None if mapped is None else _class(mapped)
        label = row.text("emotion")
        if not label or label.lower() == UNKNOWN:
            return ""
        emotion = canonical(label) or (label if label in self._own else None)
        if emotion is None:
            near = suggest(label, (*EMOTIONS, *self._own), "emotions")
            more = "params.labels maps it to one of them, to a class name of your own, to unknown (no label) or to null (no row)"
            row.wrong(f"emotion {label!r} is unknown", f"{near}; {more}: {json.dumps({label: 'unknown'}, ensure_ascii=False)}")
        return emotion

    def _rule(self, row: Row) -> str | None:
        """What `labels` says of a row's label, written as there or in other letters; "" for nothing."""
        return self._labels.get(row.label, self._labels.get(row.label.casefold(), ""))


def column_of(name: str, mapped: Mapping[str, str | None], known: Collection[str], source: Path) -> str:
    """What `name` is called among the columns of a table: as `columns` maps it, or by an alias; "" for none.

    Raises:
        SereError: D610 if it is mapped to a column that is not there.
    """
    if name not in mapped:
        return next((alias for alias in ALIASES.get(name, (name,)) if alias in known), "")
    given = mapped[name]
    if given is not None and given not in known:
        raise error("D610", f"no column {given!r}", suggest(given, known, "columns"), Place(str(source)))
    return given or ""


def optional(distribution: str, place: Path) -> Any:
    """An optional library, imported.

    Raises:
        SereError: P108 where it is not installed.
    """
    try:
        return importlib.import_module(distribution)
    except ImportError as cause:
        what = f"this corpus needs the distribution {distribution!r}"
        raise error("P108", what, f'pip install "sere[{distribution}]"', Place(str(place))) from cause


def _merged(problems: Iterable[Problem]) -> list[Problem]:
    """Those that say the same of several rows once, at the first of them."""
    alike: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in problems:
        alike.setdefault((problem.code, problem.message, problem.hint), []).append(problem)
    found = []
    for first, *more in alike.values():
        lines = [str(each.place.line) for each in (first, *more) if each.place.line]
        which = f": lines {few(lines)}" if lines else ""
        found.append(replace(first, message=f"{first.message} ({len(more) + 1} rows{which})") if more else first)
    return found


def _class(mapped: str | None) -> str:
    """The class that a value of `labels` names; "" for none."""
    return "" if mapped is None else class_name(mapped) or ""
