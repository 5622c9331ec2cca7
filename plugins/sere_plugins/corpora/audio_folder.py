"""A plain folder of audio files in no known layout: every file is an utterance."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from sere_plugins.corpora.folder import describe, few
from sere_plugins.corpora.rows import Row, RowCorpus
from sere_plugins.specs.corpora import FolderOfAudioParams
from sere_registry.errors import Place, counted, error
from sere_registry.files import expanded, visible_files
from sere_registry.protocols import BuildContext
from sere_registry.utterances import AUDIO_SUFFIXES, Finding


class AudioFolder(RowCorpus):
    """Every audio file below a folder.  Ids are paths below it, without suffix where that tells them apart."""

    def __init__(self, params: FolderOfAudioParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.root = expanded(params.root)
        self.patterns = {"speaker": params.speaker, "emotion": params.emotion}
        self.exclude = re.compile(params.exclude) if params.exclude else None
        self._left_out: Counter[str] = Counter()
        self._missed: list[str] = []

    @property
    def source(self) -> Path:
        return self.root

    def audio(self, row: Row) -> Path:
        return self.root / row.text("path")

    def findings(self) -> Sequence[Finding]:
        """What `RowCorpus` finds, files that are no audio, and paths in which no emotion was found."""
        found = list(super().findings())
        if self._left_out:
            kinds = few(f"{number} {suffix or 'without suffix'}" for suffix, number in self._left_out.most_common())
            found.append(Finding("note", f"{counted(self._left_out.total(), 'file')} left out, no audio by name: {kinds}"))
        if self._missed:
            found.append(
                Finding(
                    "note",
                    f"no emotion found in the path of {counted(len(self._missed), 'file')}: {few(self._missed, 3)}",
                )
            )
        return found

    def rows(self) -> Iterable[Row]:
        if not self.root.is_dir():
            what = "is a file" if self.root.exists() else "does not exist"
            near = next((parent for parent in self.root.parents if parent.is_dir()), None)
            raise error("D601", f"folder {self.root} {what}", f"in {near}: {describe(near)}" if near else "")
        paths = [path for path in self._files() if self._is_audio(path)]
        if self.exclude is not None:
            paths = [path for path in paths if not self.exclude.search(str(path))]
        if not paths:
            hint = f"audio files end in {', '.join(sorted(AUDIO_SUFFIXES))}"
            raise error("D602", f"no audio file in {self.root} or below it: {describe(self.root)}", hint)
        stems = Counter(path.with_suffix("") for path in paths)
        for path in paths:
            name = path if stems[path.with_suffix("")] > 1 else path.with_suffix("")
            row = Row(Place(str(self.root / path)), {"path": str(path), "id": str(name)})
            values = {key: self._find(key, path) for key in self.patterns}
            if self.patterns["speaker"] and not values["speaker"]:
                row.wrong(
                    "params.speaker is not found in the path of this file",
                    "let it match every file, or leave it out",
                )
            if self.patterns["emotion"] and not values["emotion"]:
                self._missed.append(str(path))
            yield Row(row.place, {**row.values, **values}, row.problems)

    def _find(self, key: str, path: PurePosixPath) -> str:
        """The speaker or emotion in a path below the root; "" where there is none."""
        pattern = self.patterns[key]
        if pattern == "parent":
            return path.parent.name
        match = re.search(pattern, str(path)) if pattern else None
        return (match[key] or "") if match else ""

    def _files(self) -> Iterable[PurePosixPath]:
        """All files below the root, hidden ones left out, in the order of their paths."""
        return sorted((PurePosixPath(path.relative_to(self.root)) for path in visible_files(self.root)), key=str)

    def _is_audio(self, path: PurePosixPath) -> bool:
        known = path.suffix.lower() in AUDIO_SUFFIXES
        if not known:
            self._left_out[path.suffix.lower()] += 1
        return known
