"""Reads a corpus that is a folder in an official layout: finds it, takes the labels from its names, says what is amiss."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from sere_plugins.specs.corpora import FolderParams
from sere_registry.errors import SereError, counted, error
from sere_registry.files import expanded
from sere_registry.protocols import BuildContext
from sere_registry.utterances import Finding, Recording, Utterance

AUDIO = frozenset({".wav", ".flac"})
#: how deep below its base a corpus is read; deeper files belong to no known layout, and links may go in circles
DEPTH = 6
#: how many folders of one level are searched for the base
WIDTH = 200


@dataclass(frozen=True)
class Labels:
    """What a file's place and name say about it."""

    emotion: str
    speaker: str
    gender: str | None
    text: str


@dataclass(frozen=True, kw_only=True)
class Layout:
    """An official layout.  The named groups `speaker`, `emotion` and `text` of its patterns are the labels.

    Args:
        use: the corpus's name in configs.
        title: its name in sentences.
        example: one file of it, below the base.
        language: ISO 639-1 code.
        folders: patterns of the folders that lead from the base to a file.
        file: pattern of a file's name, without suffix.
        place: where files have to stand, in words.
        flat: do names carry all labels, so that all files may stand in the base?
        emotions: code, in lower case -> emotion.
        speakers: speaker -> gender, None where the corpus does not say.
        official: its official files, as paths or, where `flat`, as names.
        suffixes: of its audio files.
    """

    use: str
    title: str
    example: str
    language: str
    folders: tuple[re.Pattern[str], ...] = ()
    file: re.Pattern[str]
    place: str
    flat: bool = True
    emotions: Mapping[str, str]
    speakers: Mapping[str, str | None]
    official: tuple[str, ...] = ()
    suffixes: frozenset[str] = AUDIO

    @property
    def depth(self) -> int:
        """How many names lead from the base to a file, its own included."""
        return len(self.folders) + 1

    def labels(self, names: tuple[str, ...]) -> Labels | str:
        """The labels of the file with these names below the base; or, in words, why it is left out."""
        misplaced = f"they do not stand in {self.place}"
        misnamed = f"not named as {self.title} names its files, such as {self.example.rpartition('/')[2]}"
        patterns = (self.file,) if self.flat and len(names) == 1 else (*self.folders, self.file)
        if len(patterns) != len(names):
            return misplaced
        found: dict[str, str] = {}
        for pattern, name in zip(patterns, names, strict=True):
            parts = pattern.fullmatch(name)
            if parts is None:
                return misnamed if pattern is self.file else misplaced
            for group, part in parts.groupdict().items():
                if found.setdefault(group, part.lower()) != part.lower():
                    return misplaced
        emotion = self.emotions.get(found["emotion"])
        speaker = next((speaker for speaker in self.speakers if speaker.lower() == found["speaker"]), None)
        if emotion is None or speaker is None:
            return misnamed
        return Labels(emotion, speaker, self.speakers[speaker], found["text"])

    def bases(self, root: Path) -> list[Path]:
        """The folders that it starts from: the root, else some below it, else some two below; the first level with any."""
        level = [os.fspath(root)]
        for _ in range(3):
            found, below = [], []
            for folder in level:
                inside = entries(folder)
                if any(self._shows_base(entry) for entry in inside):
                    found.append(Path(folder))
                below += [entry.path for entry in inside if is_folder(entry)]
            if found:
                return found
            level = below[:WIDTH]
        return []

    def _shows_base(self, entry: os.DirEntry[str]) -> bool:
        if is_folder(entry):
            return bool(self.folders and self.folders[0].fullmatch(entry.name))
        stem, suffix = os.path.splitext(entry.name)
        return bool(self.flat and suffix.lower() in self.suffixes and self.file.fullmatch(stem))

    def holds(self, base: Path) -> bool:
        """Is there any utterance below this folder?"""
        return any(isinstance(self.labels(names), Labels) for names, _ in audio_files(base, self.suffixes))


class FolderCorpus:
    """A corpus in its official layout.

    The id of an utterance is its path below the layout's base folder, without suffix, so that it does not depend on which
    of the accepted roots was given.
    """

    layout: ClassVar[Layout]

    def __init__(self, params: FolderParams, context: BuildContext) -> None:
        self.root = expanded(params.root)
        self.corpus = context.id
        self._last: tuple[list[Utterance], dict[str, list[str]]] | None = None
        self.languages: tuple[str, ...] = (params.language or self.layout.language,)

    def wanted(self, names: tuple[str, ...]) -> bool:
        """Is a file of the layout to be read?  All are, unless the parameters choose."""
        return True

    def differences(self, utterances: Sequence[Utterance]) -> Iterable[Finding]:
        """How the utterances found differ from the official ones."""
        layout = self.layout
        official = [name for name in layout.official if self.wanted(tuple(name.split("/")))]
        here = {name.lower() for utterance in utterances for name in (utterance.id, utterance.id.rpartition("/")[2])}
        gone = sorted(name for name in official if name.lower() not in here)
        if gone:
            what = f"{layout.title} has {len(official)} files, of which {len(gone)} are missing: {few(gone)}"
            yield Finding("missing", what)

    def utterances(self) -> Sequence[Utterance]:
        """All utterances, sorted by id.

        Raises:
            SereError: D601 (no such folder), D602 (nothing of the layout in it).
        """
        self._last = self._scan()
        return self._last[0]

    def findings(self) -> Sequence[Finding]:
        """What is missing from the official layout, or stands beside it, where the utterances were last listed."""
        utterances, left_out = self._last or self._scan()
        found = list(self.differences(utterances))
        for reason, names in left_out.items():
            found.append(Finding("surplus", f"{counted(len(names), 'file')} left out, {reason}: {few(names)}"))
        return found

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Nothing is made; but a folder that cannot be listed is found out before anything is read."""
        self.utterances()

    def _scan(self) -> tuple[list[Utterance], dict[str, list[str]]]:
        """Utterances sorted by id; and the files left out: reason, in words -> names, the reasons sorted."""
        chosen: dict[tuple[str, ...], tuple[str, Labels]] = {}
        left_out: dict[str, list[str]] = {}
        doubles: list[str] = []
        # later suffixes win: an extracted .wav stands in for its .avi, and .wav for .flac
        files = audio_files(self._base(), self.layout.suffixes)
        for names, path in sorted(files, key=lambda item: (item[0], item[1].lower())):
            labels = self.layout.labels(names)
            if isinstance(labels, str):
                left_out.setdefault(labels, []).append("/".join(names))
            elif self.wanted(names):
                if names in chosen:
                    doubles.append(Path(chosen[names][0]).name)
                chosen[names] = (path, labels)
        strays = [names for names in chosen if len(names) != self.layout.depth]
        if len(strays) < len(chosen):
            for names in strays:
                left_out.setdefault("they stand outside the folders of the layout", []).append("/".join(names))
                del chosen[names]
        if not chosen:
            reasons = [f"{counted(len(names), 'audio file')} left out, {reason}" for reason, names in left_out.items()]
            raise self._nothing("; ".join(reasons) or describe(self.root))
        utterances = [self._utterance("/".join(names), *kept) for names, kept in chosen.items()]
        left_out = dict(sorted(left_out.items()))
        if doubles:
            left_out["the same name stands there with another suffix"] = doubles
        return sorted(utterances, key=lambda utterance: utterance.id), left_out

    def _utterance(self, id_: str, path: str, labels: Labels) -> Utterance:
        language, gender, text = self.languages[0], labels.gender, labels.text
        recording = Recording(id_, Path(path), self.corpus, language, labels.speaker, gender=gender, text=text)
        return Utterance(recording, labels.emotion)

    def _base(self) -> Path:
        title = self.layout.title
        if not self.root.is_dir():
            what = "is a file" if self.root.exists() else "does not exist"
            near = next((parent for parent in self.root.parents if parent.is_dir()), None)
            hint = f"params.root must be the folder of {title}" + (f"; in {near}: {describe(near)}" if near else "")
            raise error("D601", f"{title}: folder {self.root} {what}", hint)
        found = self.layout.bases(self.root)
        if not found:
            raise self._nothing(describe(self.root))
        if len(found) > 1:  # such as the speech and the song folder of RAVDESS side by side
            found = [base for base in found if self.layout.holds(base)] or found
        if len(found) > 1:
            message = f"{title}: {self.root} holds the layout {len(found)} times: {few(str(base) for base in found)}"
            raise error("D602", message, "give one of these as root")
        return found[0]

    def _nothing(self, found: str) -> SereError:
        layout = self.layout
        hint = "check params.root; `manifest` reads a corpus in any other layout"
        above = self.root.resolve().parent
        if above in layout.bases(above):
            hint = f"the folder above has it: root: {above}"
        for other in (corpus.layout for corpus in FolderCorpus.__subclasses__()):
            if other is not layout and any(other.holds(base) for base in other.bases(self.root)[:1]):
                hint = f"this looks like {other.title}: use: {other.use}"
        message = f"{layout.title}: nothing of its layout in {self.root}: looked for {layout.example}; {found}"
        return error("D602", message, hint)


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


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Also for a link that leads to itself: that is no folder, and reading it as a file says what is wrong."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def audio_files(base: Path, suffixes: frozenset[str]) -> list[tuple[tuple[str, ...], str]]:
    """All files with these suffixes: (names below the base, the last without suffix; path), in the order of the names."""
    found: list[tuple[tuple[str, ...], str]] = []

    def walk(folder: str, names: tuple[str, ...]) -> None:
        for entry in entries(folder):
            stem, suffix = os.path.splitext(entry.name)
            if is_folder(entry):
                if len(names) + 1 < DEPTH:
                    walk(entry.path, (*names, entry.name))
            elif suffix.lower() in suffixes:
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
    folders = [entry.name for entry in inside if is_folder(entry)]
    files = [entry.name for entry in inside if not is_folder(entry)]
    parts = [f"{counted(len(names), what)} ({few(names, 3)})" for names, what in ((folders, "folder"), (files, "file")) if names]
    return "found " + " and ".join(parts) if parts else "it is empty"


def few(names: Iterable[str], most: int = 5) -> str:
    """The first names, and how many more there are.

    >>> few(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    listed = list(names)
    shown = ", ".join(listed[:most])
    return f"{shown} and {len(listed) - most} more" if len(listed) > most else shown
