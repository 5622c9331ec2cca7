"""What a corpus yields: utterances; and what is left of one when its label is taken away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: what libsndfile decodes, and what PyAV decodes where it is installed: the files of a folder that are taken for audio
BY_SNDFILE = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au"})
BY_PYAV = frozenset({".m4a", ".mp4", ".aac", ".webm", ".mkv", ".avi", ".wma", ".mov", ".3gp"})
AUDIO_SUFFIXES = BY_SNDFILE | BY_PYAV


@dataclass(frozen=True)
class Recording:
    """An utterance without its emotion: all that unlabelled streams, encoders and caches ever see.

    Args:
        id: unique within the corpus and stable over machines: the path below the root, without suffix.
        path: the audio file.
        corpus: the id of the corpus in the config.
        language: ISO 639-1 code ("de", "it", "en", "zh"), or a made-up one for a made-up language.
        speaker: unique within the corpus; "" where the corpus has no speakers.
        gender: "female", "male", or None where unknown.
        text: which sentence is spoken, None where unknown.
        start, end: seconds; the part of the file that is this utterance; None for the whole file.
    """

    id: str
    path: Path
    corpus: str
    language: str
    speaker: str
    gender: str | None = None
    text: str | None = None
    start: float | None = None
    end: float | None = None

    @property
    def key(self) -> str:
        """Unique over all corpora of a run: `corpus/id`."""
        return f"{self.corpus}/{self.id}"


@dataclass(frozen=True)
class Utterance:
    """A recording and the emotion that the corpus says it carries.

    Args:
        recording: all but the emotion.
        emotion: a word of `sere_registry.emotions.EMOTIONS`, or a class name of the user's own; "" where it is unlabelled.
    """

    recording: Recording
    emotion: str

    @property
    def id(self) -> str:
        return self.recording.id

    @property
    def speaker(self) -> str:
        return self.recording.speaker


@dataclass(frozen=True)
class Finding:
    """Something about a corpus folder that its user should know: `missing`, `surplus`, `warning` or `note`."""

    level: str
    message: str
