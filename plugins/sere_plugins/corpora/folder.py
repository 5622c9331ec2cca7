"""What all corpora have in common that are a folder in an official layout."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from sere_plugins.corpora.layout import Layout, audio_files, bases, count, describe, few
from sere_plugins.specs.corpora import FolderParams
from sere_registry.errors import SereError, error
from sere_registry.protocols import BuildContext
from sere_registry.utterances import Finding, Recording, Utterance

#: the adapters whose layout a folder may turn out to have
ADAPTERS = ("emodb:EmoDB", "emovo:Emovo", "ravdess:Ravdess", "casia:Casia", "enterface:Enterface")


@dataclass(frozen=True)
class Labels:
    """What a file's place and name say about it."""

    emotion: str
    speaker: str
    gender: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class Scan:
    """What was found: utterances sorted by id, files left out (their names below the base, with the reason), twins."""

    base: Path
    utterances: tuple[Utterance, ...]
    left_out: tuple[tuple[str, str], ...]
    twins: tuple[str, ...]


class FolderCorpus(ABC):
    """A corpus in its official layout.

    The id of an utterance is its path below the layout's base folder, without suffix, so that it does not depend on
    which of the accepted roots was given.
    """

    layout: ClassVar[Layout]
    language: ClassVar[str]

    def __init__(self, params: FolderParams, context: BuildContext) -> None:
        self.params = params
        self.root = Path(params.root).expanduser()
        self.corpus = context.id
        self.languages: tuple[str, ...] = (params.language or self.language,)

    @abstractmethod
    def labels(self, names: tuple[str, ...]) -> Labels | str:
        """The labels of the file with these names below the base; or, in words, why it is left out ("" if it is not wanted)."""

    def official(self, utterances: Sequence[Utterance]) -> Iterable[Finding]:
        """How the utterances found differ from the official ones."""
        return ()

    def utterances(self) -> Sequence[Utterance]:
        """All utterances, sorted by id.

        Raises:
            SereError: D601 (no such folder), D602 (nothing of the layout in it).
        """
        return self._scan.utterances

    def findings(self) -> Sequence[Finding]:
        """What is missing from the official layout, or stands beside it."""
        scan = self._scan
        found = list(self.official(scan.utterances))
        reasons: dict[str, list[str]] = {}
        for name, reason in scan.left_out:
            reasons.setdefault(reason, []).append(name)
        found += [Finding("surplus", f"{count(len(names))} left out, {reason}: {few(names)}") for reason, names in sorted(reasons.items())]
        if scan.twins:
            what = f"{count(len(scan.twins))} left out, the same name stands there with another suffix: {few(scan.twins)}"
            found.append(Finding("surplus", what))
        return found

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Nothing is made; but a folder that cannot be listed is found out before anything is read."""
        self.utterances()

    @cached_property
    def _scan(self) -> Scan:
        base = self._base()
        chosen: dict[tuple[str, ...], tuple[str, Labels]] = {}
        left_out, twins = [], []
        # later suffixes win: an extracted .wav stands in for its .avi, and .wav for .flac
        for names, path in sorted(audio_files(base, self.layout.suffixes), key=lambda item: (item[0], item[1].lower())):
            labels = self.labels(names)
            if isinstance(labels, str):
                if labels:
                    left_out.append(("/".join(names), labels))
                continue
            if names in chosen:
                twins.append(Path(chosen[names][0]).name)
            chosen[names] = (path, labels)
        if any(len(names) == self.layout.depth for names in chosen):
            strays = [names for names in chosen if len(names) != self.layout.depth]
            left_out += [("/".join(names), "they stand outside the folders of the layout") for names in strays]
            chosen = {names: kept for names, kept in chosen.items() if len(names) == self.layout.depth}
        if not chosen:
            found = f"{len(left_out)} audio files are there but left out: {left_out[0][1]}" if left_out else describe(self.root)
            raise self._nothing(found)
        utterances = (self._utterance(names, *kept) for names, kept in chosen.items())
        return Scan(base, tuple(sorted(utterances, key=lambda utterance: utterance.id)), tuple(left_out), tuple(twins))

    def _utterance(self, names: tuple[str, ...], path: str, labels: Labels) -> Utterance:
        recording = Recording(
            id="/".join(names),
            path=Path(path),
            corpus=self.corpus,
            language=self.languages[0],
            speaker=labels.speaker,
            gender=labels.gender,
            text=labels.text,
        )
        return Utterance(recording, labels.emotion)

    def _base(self) -> Path:
        if not self.root.is_dir():
            what = "is a file" if self.root.exists() else "does not exist"
            near = next((parent for parent in self.root.parents if parent.is_dir()), None)
            hint = f"params.root must be the folder of {self.layout.title}" + (f"; in {near}: {describe(near)}" if near else "")
            raise error("D601", f"{self.layout.title}: folder {self.root} {what}", hint)
        found = bases(self.root, self.layout)
        if not found:
            raise self._nothing(describe(self.root))
        if len(found) > 1:  # such as the speech and the song folder of RAVDESS side by side
            found = [base for base in found if self.holds(base)] or found
        if len(found) > 1:
            message = f"{self.layout.title}: {self.root} holds the layout {len(found)} times: {few(str(base) for base in found)}"
            raise error("D602", message, "give one of these as root")
        return found[0]

    def holds(self, base: Path) -> bool:
        """Is there any utterance below this folder?"""
        return any(isinstance(self.labels(names), Labels) for names, _ in audio_files(base, self.layout.suffixes))

    def _nothing(self, found: str) -> SereError:
        message = f"{self.layout.title}: nothing of its layout in {self.root}: looked for {self.layout.example}; {found}"
        return error("D602", message, self._advice())

    def _advice(self) -> str:
        other = recognise(self.root)
        if other is not None and other.use != self.layout.use:
            return f"this looks like {other.title}: use: {other.use}"
        above = self.root.resolve().parent
        if above in bases(above, self.layout):
            return f"the folder above has it: root: {above}"
        return "check params.root; `manifest` reads a corpus in any other layout"


def recognise(root: Path) -> Layout | None:
    """The known layout that a folder has, if any."""
    for adapter in ADAPTERS:
        module, _, name = adapter.partition(":")
        corpus: type[FolderCorpus] = getattr(importlib.import_module(f"sere_plugins.corpora.{module}"), name)
        reader = corpus(FolderParams(root=root), BuildContext(""))
        if any(reader.holds(base) for base in bases(root, corpus.layout)[:1]):
            return corpus.layout
    return None


def absent(title: str, expected: Iterable[str], present: Iterable[str]) -> list[Finding]:
    """One finding that names which of the official files are missing, or none."""
    wanted = sorted(set(expected))
    gone = sorted(set(wanted).difference(present))
    if not gone:
        return []
    return [Finding("missing", f"{title} has {len(wanted)} files, of which {len(gone)} are missing: {few(gone)}")]
