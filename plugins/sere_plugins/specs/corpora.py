"""Corpora: EmoDB, EMOVO, CASIA, eNTERFACE'05, RAVDESS, a manifest of one's own, and synthetic speech."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, field_validator, model_validator

from sere_plugins.specs import Declared, component
from sere_registry.emotions import UNKNOWN, class_name
from sere_registry.params import param
from sere_registry.spelling import language_tag

LANGUAGES = "an ISO 639 code such as de, also with a region (de-AT), or an English name"


def _language(text: str) -> str:
    tag = language_tag(text)
    if text and not tag:
        raise ValueError(f"{text!r} is no language: write {LANGUAGES}")
    return tag


#: normalised: `de` for DE, deu, de-AT and German
Language = Annotated[str, AfterValidator(_language)]
Column = Literal["path", "speaker", "emotion", "language", "id", "gender", "text", "start", "end"]
#: the emotions for which the synthetic corpus has rules, in the vocabulary's order
SYNTHETIC_EMOTIONS = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


class FolderParams(Declared):
    root: Path = param(..., "the corpus folder; one folder above it, or its folder of audio files, will do")
    language: Language = param("", "ISO 639-1 code; default: the corpus's own")


@component("ravdess", "corpora.official:Ravdess", cite="doi:10.1371/journal.pone.0196391")
class RavdessParams(FolderParams):
    """RAVDESS, the audio-only speech: English, 24 speakers, 8 emotions, 1440 files."""

    intensity: Literal["all", "normal", "strong"] = param("all", "which intensity; strong leaves no neutral, which has none")


class OwnParams(Declared):
    """Of every corpus of one's own."""

    language: Language = param("", "ISO 639-1 code of utterances for which nothing else says it")
    labels: dict[str, str | None] = param(
        {}, "label -> emotion of the vocabulary or a class name of your own; `unknown`: unlabelled; null: left out"
    )

    @field_validator("labels")
    @classmethod
    def _nameable(cls, labels: dict[str, str | None]) -> dict[str, str | None]:
        for label, emotion in labels.items():
            if emotion not in (None, UNKNOWN) and class_name(emotion or "") is None:
                raise ValueError(f"{label!r} is mapped to {emotion!r}, which no class can be called")
        return labels


class TableParams(OwnParams):
    """Of a corpus that something lists in columns."""

    columns: dict[Column, str | None] = param({}, "column -> what it is called, e.g. {path: file_id, emotion: label}; null: not read")


@component("manifest", "corpora.manifest:Manifest")
class ManifestParams(TableParams):
    """a corpus of your own, listed in a CSV, TSV or JSONL file; labelled, in part, or not at all."""

    file: Path = param(..., "a .csv, .tsv or .jsonl file: path [, speaker, emotion, language, id, gender, text, start, end]")


@component("audformat", "corpora.audformat_database:AudformatDatabase")
class AudformatParams(TableParams):
    """a database in audformat (extra `audformat`); its files or segments are labelled, in part, or not at all."""

    root: Path = param(..., "the folder that holds db.yaml")
    table: str = param("", "the table whose rows are utterances; default: `emotion`, or the only one with emotions, or all files")


@component("datasets", "corpora.dataset_folder:DatasetFolder")
class DatasetParams(TableParams):
    """a local folder of Hugging Face datasets (extra `datasets`): of `save_to_disk`, of Parquet files, or an audiofolder."""

    root: Path = param(..., "the folder")
    split: str = param("", "one split; default: all")


@component("folder", "corpora.audio_folder:AudioFolder")
class FolderOfAudioParams(OwnParams):
    """a plain folder of audio files, unlabelled unless a pattern finds the emotion in their paths."""

    root: Path = param(..., "the folder; audio files in it and at any depth below it are the corpus")
    language: Language = param(..., "ISO 639-1 code of what is spoken", min_length=1)
    speaker: str = param("", "`parent`: the name of a file's folder; or a regular expression with a group `speaker`, searched in its path")
    emotion: str = param("", "`parent`, or a regular expression with a group `emotion`; where none is found: unlabelled")
    exclude: str = param("", "a regular expression: files in whose path it is found are left out, such as silent ones")

    @model_validator(mode="after")
    def _patterns(self) -> FolderOfAudioParams:
        for name in ("speaker", "emotion", "exclude"):
            written = getattr(self, name)
            if written == "" or (written == "parent" and name != "exclude"):
                continue
            try:
                groups = re.compile(written).groupindex
            except re.error as cause:
                raise ValueError(f"{name}: {written!r} is no regular expression: {cause}") from cause
            if name not in groups and name != "exclude":
                raise ValueError(f"{name}: {written!r} has no group {name!r}: write (?P<{name}>...)")
        return self


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
FOLDER = FolderOfAudioParams.spec
AUDFORMAT = AudformatParams.spec
DATASETS = DatasetParams.spec
SYNTHETIC = SyntheticParams.spec
