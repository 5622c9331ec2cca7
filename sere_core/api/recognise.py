"""What a folder or file of speech is, found out by looking: an official layout, a manifest, a database, or plain audio."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

from sere_core.api.corpus import Corpus
from sere_core.plan import open_corpus
from sere_registry.catalog import Catalog
from sere_registry.emotions import ALIASES, EMOTIONS, UNKNOWN, canonical, class_name
from sere_registry.errors import SereError, counted
from sere_registry.files import expanded
from sere_registry.spelling import other_names, written

MANIFESTS = (".csv", ".tsv", ".jsonl")
#: what a folder of these formats holds
MARKS = {"sere.audformat": ("db.yaml",), "sere.datasets": ("state.json", "dataset_dict.json", "**/*.parquet")}
#: of ISO 639-3, where nothing says it
NO_LANGUAGE = "und"
#: the share of paths in which an emotion must be found
MOST = 0.8

#: of more folders in a folder it is not asked whether they are corpora of their own: they are speakers
_SOME = 8


@dataclass(frozen=True)
class Found:
    """A corpus that was recognised.

    Args:
        path: its folder or manifest.
        use, params: its block in the config, without the path.
        corpus: its utterances.
        remarks: what was guessed, and what the user should look at.
    """

    path: Path | None
    use: str
    params: Mapping[str, object]
    corpus: Corpus
    remarks: tuple[str, ...] = field(default=())

    @property
    def labels(self) -> dict[str, int]:
        """Emotion -> utterances, in the order of the vocabulary."""
        counts = Counter(each.emotion for each in self.corpus if each.emotion)
        return dict(sorted(counts.items(), key=lambda each: (each[0] not in EMOTIONS, each[0])))

    @property
    def unlabelled(self) -> int:
        return sum(not each.emotion for each in self.corpus)

    @property
    def speakers(self) -> int:
        """How many, 0 where any utterance has none."""
        names = {each.speaker for each in self.corpus}
        return 0 if "" in names else len(names)

    def sentence(self) -> str:
        """What was found."""
        labels = ", ".join(f"{name} {number}" for name, number in self.labels.items())
        said = [counted(len(self.corpus), "utterance"), counted(self.speakers, "speaker") if self.speakers else "speakers unknown"]
        said.append(f"language {', '.join(self.corpus.languages)}")
        place = f" in {self.path}" if self.path else ""
        unlabelled = f"{self.unlabelled} without a label" if self.unlabelled else ""
        return f"{self.corpus.name}{place}: {', '.join(said)}; {'; '.join(filter(None, (labels, unlabelled)))}"


def look(path: Path, language: str, catalog: Catalog) -> Found:
    """What a folder or file is: the first of an official layout, a manifest, a folder of audio; and which larger corpora are in it.

    Raises:
        SereError: D601, D602 or D610 where it is none of these.
    """
    found = _look(path, language, catalog)
    folders = sorted(expanded(path).glob("*/"))
    asked = folders if len(folders) <= _SOME else []
    inside = [each for folder in asked if (each := _layout(folder, {}, catalog)) is not None]
    larger = [str(each.path) for each in inside if found.use == "sere.folder" or len(each.corpus) > len(found.corpus)]
    if not larger:
        return found
    remark = f"folders in it are corpora of their own: {', '.join(larger)}; name one of them if that is meant"
    return replace(found, remarks=(*found.remarks, remark))


def _look(path: Path, language: str, catalog: Catalog) -> Found:
    if expanded(path).is_file():
        return _manifest(path, language, catalog)
    given = {"language": language} if language else {}
    for use, marks in MARKS.items():
        if any(next(expanded(path).glob(mark), None) for mark in marks):
            return Found(path, use, given, Corpus(use, open_corpus(catalog, use, str(path), given)))
    if expanded(path).is_dir() and (fitting := _layout(path, given, catalog)) is not None:
        return fitting
    inside = sorted(each for each in expanded(path).glob("*") if each.suffix.lower() in MANIFESTS and _mapped(each) is not None)
    if len(inside) == 1:
        return _manifest(path / inside[0].name, language, catalog)
    return _folder(path, language, catalog)


def _layout(path: Path, given: Mapping[str, object], catalog: Catalog) -> Found | None:
    """The official layout in which a folder has most utterances."""
    fitting = []
    for name in catalog.names("corpus"):
        try:
            entry = catalog.find("corpus", name)
            fields = entry.spec.params.model_fields
            if {key for key, value in fields.items() if value.is_required()} == {"root"} and "labels" not in fields:
                fitting.append(Found(path, entry.full_name, given, Corpus(name, open_corpus(catalog, name, str(path), given))))
        except SereError:
            continue  # not of this layout, or a plugin that cannot be used
    return max(fitting, key=lambda found: len(found.corpus), default=None)


def _header(file: Path) -> list[dict[str, str | None]]:
    """The rows of a manifest by lower-case column; empty for what is none."""
    suffix = file.suffix.lower()
    if suffix not in MANIFESTS:
        return []
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return []
    if suffix == ".jsonl":
        return [row for line in text.split("\n") if (row := _object(line))]
    lines = text.splitlines()
    delimiter = "\t" if suffix == ".tsv" else max(",;\t", key=lines[0].count) if lines else ","
    return [{str(key).strip().lower(): value for key, value in row.items()} for row in csv.DictReader(lines, delimiter=delimiter)]


def _object(line: str) -> dict[str, str | None]:
    """A line of JSON as a row of text; empty for what is none: the manifest says what is wrong with it."""
    try:
        found = json.loads(line, parse_float=lambda text: text.removesuffix(".0"))  # pandas writes whole numbers so
    except (ValueError, RecursionError):
        return {}
    cells = found if isinstance(found, dict) else {}
    return {key.strip().lower(): None if value is None else str(value) for key, value in cells.items()}


def _mapped(file: Path) -> dict[str, str] | None:
    """Columns of a manifest under other names; None where nothing in it can be a path."""
    names = {name for row in _header(file) for name in row}
    found = other_names(names)
    for name in ("emotion", "speaker"):
        if name not in names and name not in found and (near := get_close_matches(name, sorted(names - {*found.values()}), 1, 0.8)):
            found[name] = near[0]
    return found if "path" in names or "path" in found else None


def _manifest(file: Path, language: str, catalog: Catalog) -> Found:
    params: dict[str, object] = {}
    remarks = []
    rows, mapped = _header(expanded(file)), _mapped(expanded(file)) or {}
    if mapped:
        params["columns"] = mapped
        remarks.append(f"columns under other names: {', '.join(f'{name} is {other}' for name, other in mapped.items())}")
    column = mapped.get("emotion", "emotion")
    _label(params, remarks, (written(row.get(column) or "") for row in rows))
    if language or (rows and not any(mapped.get("language", "language") in row for row in rows)):
        params["language"] = language or NO_LANGUAGE
        remarks += [] if language else [_unsaid(file)]
    return Found(file, "sere.manifest", params, Corpus("manifest", open_corpus(catalog, "manifest", str(file), params)), tuple(remarks))


def _label(params: dict[str, object], remarks: list[str], words: Iterable[str]) -> None:
    """Give words that are no known emotions a class each, of their own name."""
    strange = sorted({word for word in words if canonical(word) is None} - {"", UNKNOWN})
    if strange:
        params["labels"] = {word: word if class_name(word) else None for word in strange}
        remarks.append(f"labels that are no known emotions: {', '.join(strange)}; say under `labels` which emotions they are")


def _folder(path: Path, language: str, catalog: Catalog) -> Found:
    """Any folder of audio: emotions and speakers where names of folders or files show them."""
    params: dict[str, object] = {"language": language or NO_LANGUAGE}
    plain = Corpus("folder", open_corpus(catalog, "folder", str(path), params))
    root = expanded(path)
    paths = [each.recording.path.relative_to(root) for each in plain]
    remarks = [] if language else [_unsaid(path)]
    parents = [each.parent.name for each in paths]
    levels = [[each.parts[level] for each in paths] for level in range(min(len(each.parts) for each in paths) - 1)]
    emotion = ""
    if _are_emotions(parents):
        emotion, levels = "parent", levels[:-1]
        _label(params, remarks, map(written, parents))
    elif (level := next((level for level, names in enumerate(levels) if _are_emotions(names)), None)) is not None:
        emotion = _level("emotion", level)
        _label(params, remarks, map(written, levels[level]))
    else:
        pattern = rf"(?<![A-Za-z])(?P<emotion>{'|'.join(sorted({*EMOTIONS, *ALIASES}, key=lambda word: (-len(word), word)))})(?![A-Za-z])"
        said = [match["emotion"] for each in paths if (match := re.search(f"(?i){pattern}", each.name))]
        if len(said) >= MOST * len(paths) and len(set(said)) > 1:
            shown = "|".join(sorted(set(said), key=lambda word: (-len(word), word)))
            emotion = rf"(?<![A-Za-z])(?P<emotion>{shown})(?![A-Za-z])[^/]*$"
    if emotion:
        params["emotion"] = emotion
        where = "the files' names" if emotion.endswith("$") else "the names of folders"
        remarks.append(f"emotions: taken from {where}")
    for level, names in enumerate(levels):
        people = set(names)
        if 1 < len(people) <= len(paths) / 2 and sum(canonical(name) is not None for name in people) <= len(people) / 2:
            params["speaker"] = _level("speaker", level)
            shown = f"{', '.join(sorted(people)[:5])}{', ...' * (len(people) > 5)}"
            remarks.append(f"speakers: taken from the names of {len(people)} folders ({shown}); take `speaker` away if that is wrong")
            break
    return Found(path, "sere.folder", params, Corpus("folder", open_corpus(catalog, "folder", str(path), params)), tuple(remarks))


def _are_emotions(names: Sequence[str]) -> bool:
    return sum(canonical(name) is not None for name in names) >= MOST * len(names)


def _level(group: str, level: int) -> str:
    """A pattern of the name of a folder that lies so many folders down."""
    return f"^{'[^/]+/' * level}(?P<{group}>[^/]+)/"


def _unsaid(path: Path) -> str:
    return f"language: nothing says it, so that `{NO_LANGUAGE}` (undetermined) is written; put the ISO 639-1 code of {path} there"
