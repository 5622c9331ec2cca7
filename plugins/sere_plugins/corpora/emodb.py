"""EmoDB: `wav/03a01Fa.wav` is speaker 03, text a01, F for Freude (happiness), version a."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sere_plugins.corpora.folder import FolderCorpus, Labels
from sere_plugins.corpora.layout import Layout
from sere_registry.utterances import Finding, Utterance

NAME = re.compile(r"(\d\d)([ab]\d\d)([A-Z])([a-z])", re.IGNORECASE)
EMOTIONS = {"W": "anger", "L": "boredom", "E": "disgust", "A": "fear", "F": "happiness", "T": "sadness", "N": "neutral"}
GENDERS = {
    "03": "male", "08": "female", "09": "female", "10": "male", "11": "male",
    "12": "male", "13": "female", "14": "female", "15": "male", "16": "female",
}  # fmt: skip
#: the official numbers of files, since EmoDB is not balanced
BY_SPEAKER = {"03": 49, "08": 58, "09": 43, "10": 38, "11": 55, "12": 35, "13": 61, "14": 69, "15": 56, "16": 71}
BY_EMOTION = {"anger": 127, "boredom": 81, "disgust": 46, "fear": 69, "happiness": 71, "neutral": 79, "sadness": 62}


class EmoDB(FolderCorpus):
    """The Berlin database of emotional speech: 10 speakers say 10 texts in 7 emotions, 535 takes that listeners recognised."""

    layout = Layout("emodb", "EmoDB", "wav/03a01Fa.wav", folder=None, file=NAME, depth=1)
    language = "de"

    def labels(self, names: tuple[str, ...]) -> Labels | str:
        """Speaker, text and emotion from the file's name."""
        parts = NAME.fullmatch(names[-1])
        if parts is None or parts[3].upper() not in EMOTIONS or parts[1] not in GENDERS:
            return "not named as EmoDB names its files"
        if len(names) > 1:
            return "they stand in a folder of their own"
        return Labels(EMOTIONS[parts[3].upper()], parts[1], GENDERS[parts[1]], parts[2].lower())

    def official(self, utterances: Sequence[Utterance]) -> Iterable[Finding]:
        """535 files, by speaker and by emotion."""
        total = sum(BY_SPEAKER.values())
        speakers = _differences(BY_SPEAKER, Counter(utterance.speaker for utterance in utterances))
        emotions = _differences(BY_EMOTION, Counter(utterance.emotion for utterance in utterances))
        if speakers or emotions:
            level = "missing" if len(utterances) < total else "surplus"
            yield Finding(level, f"EmoDB has {total} files, here are {len(utterances)}; by speaker: {speakers}; by emotion: {emotions}")


def _differences(official: Mapping[str, int], found: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {found.get(name, 0)} of {number}" for name, number in official.items() if found.get(name, 0) != number)
