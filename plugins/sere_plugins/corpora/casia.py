"""CASIA: `liuchanhg/angry/201.wav` is a speaker, an emotion, and the number of the text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sere_plugins.corpora.folder import FolderCorpus, Labels, absent
from sere_plugins.corpora.layout import Layout
from sere_registry.utterances import Finding, Utterance

NUMBER = re.compile(r"\d+")
EMOTIONS = {"angry": "anger", "fear": "fear", "happy": "happiness", "neutral": "neutral", "sad": "sadness", "surprise": "surprise"}
#: as their folders are written; the corpus says nothing of their gender
SPEAKERS = ("liuchanhg", "wangzhe", "zhaoquanyin", "ZhaoZuoxiang")
TEXTS = tuple(str(number) for number in range(201, 251))


class Casia(FolderCorpus):
    """The subset of CASIA in circulation: 4 speakers say 50 texts in 6 emotions, 1200 files.  Wavs at the top belong to nobody."""

    layout = Layout("casia", "CASIA", "liuchanhg/angry/201.wav", folder=re.compile("|".join(SPEAKERS), re.IGNORECASE), file=None, depth=3)
    language = "zh"

    def labels(self, names: tuple[str, ...]) -> Labels | str:
        """Everything from the folders."""
        if len(names) != 3:
            return "they do not stand in <speaker>/<emotion>/"
        folder, emotion, number = names
        speaker = next((speaker for speaker in SPEAKERS if speaker.lower() == folder.lower()), None)
        if speaker is None:
            return "their folder is none of CASIA's speakers"
        if emotion.lower() not in EMOTIONS:
            return "their folder is none of CASIA's emotions"
        if NUMBER.fullmatch(number) is None:
            return "not named by a number"
        return Labels(EMOTIONS[emotion.lower()], speaker, None, number)

    def official(self, utterances: Sequence[Utterance]) -> Iterable[Finding]:
        """Each speaker says texts 201 to 250 in each emotion."""
        expected = [f"{speaker}/{emotion}/{text}" for speaker in SPEAKERS for emotion in EMOTIONS.values() for text in TEXTS]
        found = {f"{utterance.speaker}/{utterance.emotion}/{utterance.recording.text}" for utterance in utterances}
        yield from absent("CASIA's subset", expected, found)
        beyond = len(found.difference(expected))
        if beyond:
            yield Finding("note", f"{beyond} files have other texts than 201 to 250, so this is more than the usual subset; they are used")
