"""Corpora that exist on paper only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sere_registry.utterances import Recording, Utterance

Make = Callable[..., list[Utterance]]


def corpus(
    name: str, speakers: Sequence[str], emotions: Sequence[str], each: int = 4, language: str = "it", texts: bool = False
) -> list[Utterance]:
    """Every speaker says `each` utterances of every emotion."""
    made = []
    for speaker in speakers:
        for emotion in emotions:
            for take in range(each):
                id = f"{speaker}-{emotion}-{take}"
                text = f"s{take}" if texts else None
                recording = Recording(id, Path(f"/{name}/{id}.wav"), name, language, speaker, text=text)
                made.append(Utterance(recording, emotion))
    return made


@pytest.fixture
def make() -> Make:
    return corpus
