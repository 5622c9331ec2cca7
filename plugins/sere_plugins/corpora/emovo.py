"""EMOVO: `f1/dis-f1-b1.wav` is disgust, speaker f1 (a woman), text b1."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sere_plugins.corpora.folder import FolderCorpus, Labels, absent
from sere_plugins.corpora.layout import Layout
from sere_registry.utterances import Finding, Utterance

NAME = re.compile(r"([a-z]{3})-([fm]\d)-([a-z]\d)", re.IGNORECASE)
EMOTIONS = {
    "dis": "disgust", "gio": "happiness", "neu": "neutral", "pau": "fear", "rab": "anger", "sor": "surprise", "tri": "sadness",
}  # fmt: skip
SPEAKERS = ("f1", "f2", "f3", "m1", "m2", "m3")
TEXTS = ("b1", "b2", "b3", "d1", "d2", "l1", "l2", "l3", "l4", "n1", "n2", "n3", "n4", "n5")


class Emovo(FolderCorpus):
    """EMOVO: 3 women and 3 men say 14 texts in 7 emotions, 588 files."""

    layout = Layout("emovo", "EMOVO", "f1/dis-f1-b1.wav", folder=re.compile(r"[fm]\d", re.IGNORECASE), file=NAME, depth=2)
    language = "it"

    def labels(self, names: tuple[str, ...]) -> Labels | str:
        """Emotion, speaker and text from the file's name; the folder must agree."""
        parts = NAME.fullmatch(names[-1].lower())
        if parts is None or parts[1] not in EMOTIONS or parts[2] not in SPEAKERS:
            return "not named as EMOVO names its files"
        if len(names) > 2 or (len(names) == 2 and names[0].lower() != parts[2]):
            return "they do not stand in their speaker's folder"
        return Labels(EMOTIONS[parts[1]], parts[2], "female" if parts[2][0] == "f" else "male", parts[3])

    def official(self, utterances: Sequence[Utterance]) -> Iterable[Finding]:
        """Each speaker says each text in each emotion."""
        expected = (f"{emotion}-{speaker}-{text}" for emotion in EMOTIONS for speaker in SPEAKERS for text in TEXTS)
        return absent("EMOVO", expected, (utterance.id.rpartition("/")[2].lower() for utterance in utterances))
