"""Speech-like utterances in made-up languages, for learning sere and for testing it without data."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from sere_plugins.specs.corpora import SyntheticParams
from sere_registry.errors import error
from sere_registry.protocols import BuildContext
from sere_registry.utterances import Finding, Recording, Utterance

#: part of the folder's name: a change of the sound must change it
VERSION = 1


class Synthetic:
    """A corpus that is made: each speaker says the same sentences in each emotion.

    A source-filter voice speaks; emotion is a set of rules (see `synth_emotions`) from which speakers, utterances and
    languages stray.  The same parameters give the same files.  It stands in for speech: results on it say that software
    works and which way it errs, not how well a method does on people.
    """

    def __init__(self, params: SyntheticParams, context: BuildContext) -> None:
        self.params = params
        self.corpus = context.id
        self.languages: tuple[str, ...] = (params.language,)
        cache = context.cache if context.cache is not None else _default_cache()
        self.folder = cache / "synthetic" / digest(params)

    def utterances(self) -> Sequence[Utterance]:
        """All utterances, sorted by id; their files exist after `prepare`."""
        return self._utterances

    def findings(self) -> Sequence[Finding]:
        """That this is not human speech."""
        return (Finding("note", f"synthetic speech in a made-up language, below {self.folder}"),)

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Make the files that are not there yet, each atomically: two processes may do so at once.

        Raises:
            SereError: X704 or X705 where the folder cannot be written or the disk is full.
        """
        missing = [utterance for utterance in self._utterances if not utterance.recording.path.is_file()]
        if not missing:
            return
        from sere_plugins.corpora.synth_render import Studio  # numpy and scipy, which listing must not need

        studio = Studio(self.params)
        for done, utterance in enumerate(missing, start=1):
            recording = utterance.recording
            if recording.path.is_file():  # made by another process in the meantime
                continue
            wave = studio.wave(recording.speaker, recording.gender or "", recording.text or "", utterance.emotion)
            try:
                _write(recording.path, wave)
            except OSError as cause:
                code = "X705" if cause.errno == errno.ENOSPC else "X704"
                raise error(code, f"{recording.path} cannot be written: {cause.strerror}", "set SERE_CACHE to another folder") from cause
            if progress is not None:
                progress(done, len(missing))

    @cached_property
    def _utterances(self) -> tuple[Utterance, ...]:
        params = self.params
        found = []
        for index in range(params.speakers):
            speaker = f"{params.language}{index + 1:02d}"
            for emotion in params.emotions:
                for sentence in range(1, params.per_class + 1):
                    text = f"t{sentence:02d}"
                    id_ = f"{speaker}/{emotion}-{text}"
                    recording = Recording(
                        id=id_,
                        path=self.folder / f"{id_}.wav",
                        corpus=self.corpus,
                        language=params.language,
                        speaker=speaker,
                        gender="male" if index % 2 else "female",
                        text=text,
                    )
                    found.append(Utterance(recording, emotion))
        return tuple(sorted(found, key=lambda utterance: utterance.id))


def digest(params: SyntheticParams) -> str:
    """The name of the folder of these parameters' files."""
    content = json.dumps({"version": VERSION, **params.model_dump(mode="json")}, sort_keys=True)
    return f"{params.language}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _default_cache() -> Path:
    return Path(os.environ.get("SERE_CACHE") or "~/.cache/sere").expanduser()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
