"""The real corpora, where SERE_DATA names a folder of them: counts, speakers, and the known pair of identical files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sere_core.data.check import check
from sere_plugins.corpora.official import BY_EMOTION

pytestmark = pytest.mark.real
Build = Callable[..., Any]


@pytest.mark.parametrize(
    ("name", "number", "speakers", "texts", "classes"),
    [
        ("emodb", 535, 10, 10, BY_EMOTION),
        ("emovo", 588, 6, 14, dict.fromkeys(("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"), 84)),
        (
            "ravdess",
            1440,
            24,
            2,
            {**dict.fromkeys(("anger", "calm", "disgust", "fear", "happiness", "sadness", "surprise"), 192), "neutral": 96},
        ),
    ],
)
def test_official_counts(real: Path, build: Build, name: str, number: int, speakers: int, texts: int, classes: dict[str, int]) -> None:
    corpus = build(name, root=real / name)
    utterances = corpus.utterances()
    genders = {utterance.speaker: utterance.recording.gender for utterance in utterances}
    assert len(utterances) == number
    assert len(genders) == speakers
    assert Counter(genders.values()) == {"female": speakers // 2, "male": speakers // 2}
    assert len({utterance.recording.text for utterance in utterances}) == texts
    assert Counter(utterance.emotion for utterance in utterances) == classes
    assert not corpus.findings()


@pytest.mark.slow
def test_the_two_identical_files_of_ravdess_are_found(real: Path, build: Build) -> None:
    report = check(build("ravdess", root=real / "ravdess"))
    (same,) = report.duplicates
    assert len(same.ids) == 2 and all(id_.startswith("Actor_07/") for id_ in same.ids)
    assert not report.unusable
