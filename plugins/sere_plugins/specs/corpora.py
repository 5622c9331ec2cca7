"""Corpora: EmoDB, EMOVO, CASIA, eNTERFACE'05, RAVDESS, a manifest of one's own, and synthetic speech."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import field_validator

from sere_plugins.specs import Declared, component
from sere_registry.emotions import canonical
from sere_registry.params import param

#: the emotions for which the synthetic corpus has rules, in the vocabulary's order
SYNTHETIC_EMOTIONS = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


class FolderParams(Declared):
    root: Path = param(..., "the corpus folder; one folder above it, or its folder of audio files, will do")
    language: str = param("", "ISO 639-1 code; default: the corpus's own", pattern=r"^([a-z]{2,3})?$")


@component("ravdess", "corpora.official:Ravdess", cite="doi:10.1371/journal.pone.0196391")
class RavdessParams(FolderParams):
    """RAVDESS, the audio-only speech: English, 24 speakers, 8 emotions, 1440 files."""

    intensity: Literal["all", "normal", "strong"] = param("all", "which intensity; strong leaves no neutral, which has none")


@component("manifest", "corpora.manifest:Manifest")
class ManifestParams(Declared):
    """a corpus of your own, listed in a CSV or JSONL file."""

    file: Path = param(..., "a .csv, .tsv or .jsonl file: path, speaker, emotion, language [, id, gender, text, start, end]")
    language: str = param("", "ISO 639-1 code of the lines that give none", pattern=r"^([a-z]{2,3})?$")
    labels: dict[str, str | None] = param({}, "label of the file -> emotion of the vocabulary, or null to leave its lines out")

    @field_validator("labels")
    @classmethod
    def _known(cls, labels: dict[str, str | None]) -> dict[str, str | None]:
        for label, emotion in labels.items():
            if emotion is not None and canonical(emotion) is None:
                raise ValueError(f"{label!r} is mapped to {emotion!r}, which is no emotion of the vocabulary")
        return labels


@component(
    "synthetic",
    "corpora.synthetic:Synthetic",
    cite="rules after Cahn 1990; Burkhardt & Sendlmeier 2000; Schröder 2001",
    evidence="stand-in",
)
class SyntheticParams(Declared):
    """speech-like utterances in made-up languages, with emotion by rule; made on the spot, no data needed."""

    language: Literal["xa", "xb", "xc", "xd"] = param("xa", "one of four made-up languages")
    speakers: int = param(8, "how many speakers, half of them female", ge=1, le=99)
    per_class: int = param(4, "utterances of each speaker in each emotion, each another sentence", ge=1, le=99)
    emotions: tuple[str, ...] = param(("anger", "fear", "happiness", "neutral", "sadness"), "which emotions", min_length=1)
    seconds: float = param(1.2, "mean duration of an utterance in s", ge=0.4, le=10)
    seed: int = param(0, "another seed, other speakers", ge=0)
    difficulty: float = param(0.5, "how far speakers, utterances and languages stray from the rules", ge=0, le=1)

    @field_validator("emotions")
    @classmethod
    def _ruled(cls, emotions: tuple[str, ...]) -> tuple[str, ...]:
        for emotion in emotions:
            if emotion not in SYNTHETIC_EMOTIONS:
                raise ValueError(f"no rules for {emotion!r}; there are rules for {', '.join(SYNTHETIC_EMOTIONS)}")
        if len(set(emotions)) < len(emotions):
            raise ValueError("an emotion stands twice")
        return tuple(sorted(emotions))


@component("emodb", "corpora.official:EmoDB", cite="doi:10.21437/Interspeech.2005-446")
class EmodbParams(FolderParams):
    """EmoDB, the Berlin database of emotional speech: German, 10 speakers, 7 emotions, 535 files."""


@component("emovo", "corpora.official:Emovo", cite="Costantini et al., LREC 2014")
class EmovoParams(FolderParams):
    """EMOVO: Italian, 6 speakers, 7 emotions, 588 files."""


@component(
    "casia",
    "corpora.official:Casia",
    cite="CASIA Chinese emotional speech corpus, Institute of Automation, Chinese Academy of Sciences",
    evidence="reconstructed",
)
class CasiaParams(FolderParams):
    """CASIA, the subset in circulation: Mandarin, 4 speakers, 6 emotions, 1200 files."""


@component("enterface", "corpora.official:Enterface", cite="doi:10.1109/ICDEW.2006.145", evidence="reconstructed")
class EnterfaceParams(FolderParams):
    """eNTERFACE'05: English, 43 usable speakers, 6 emotions, AVI or extracted audio."""


EMODB = EmodbParams.spec
EMOVO = EmovoParams.spec
CASIA = CasiaParams.spec
ENTERFACE = EnterfaceParams.spec
RAVDESS = RavdessParams.spec
MANIFEST = ManifestParams.spec
SYNTHETIC = SyntheticParams.spec
