"""RAVDESS: `Actor_12/03-01-06-01-02-01-12.wav` is modality, channel, emotion, intensity, statement, repetition, actor."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sere_plugins.corpora.folder import FolderCorpus, Labels, absent
from sere_plugins.corpora.layout import Layout
from sere_plugins.specs.corpora import FolderParams, RavdessParams
from sere_registry.protocols import BuildContext
from sere_registry.utterances import Finding, Utterance

NAME = re.compile(r"(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)")
EMOTIONS = {
    "01": "neutral", "02": "calm", "03": "happiness", "04": "sadness", "05": "anger", "06": "fear", "07": "disgust", "08": "surprise",
}  # fmt: skip
ACTORS = tuple(f"{actor:02d}" for actor in range(1, 25))
INTENSITIES = {"all": ("01", "02"), "normal": ("01",), "strong": ("02",)}


class Ravdess(FolderCorpus):
    """RAVDESS, audio-only speech: 24 actors say 2 statements twice in 8 emotions, all but neutral at two intensities; 1440 files."""

    layout = Layout(
        "ravdess", "RAVDESS", "Actor_12/03-01-06-01-02-01-12.wav", folder=re.compile(r"Actor_\d\d", re.IGNORECASE), file=NAME, depth=2
    )
    language = "en"

    def __init__(self, params: FolderParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.intensities = INTENSITIES[params.intensity if isinstance(params, RavdessParams) else "all"]

    def labels(self, names: tuple[str, ...]) -> Labels | str:
        """Everything from the file's name; the folder must agree."""
        parts = NAME.fullmatch(names[-1])
        if parts is None or parts[3] not in EMOTIONS or parts[7] not in ACTORS:
            return "not named as RAVDESS names its files"
        if parts[1] != "03" or parts[2] != "01":
            return "not audio-only speech (03-01-...)"
        if len(names) > 2 or (len(names) == 2 and names[0].lower() != f"actor_{parts[7]}"):
            return "they do not stand in their actor's folder"
        if parts[4] not in self.intensities:
            return ""
        return Labels(EMOTIONS[parts[3]], parts[7], "male" if int(parts[7]) % 2 else "female", parts[5])

    def official(self, utterances: Sequence[Utterance]) -> Iterable[Finding]:
        """60 files of each actor."""
        expected = (
            f"03-01-{emotion}-{intensity}-{statement}-{repetition}-{actor}"
            for actor in ACTORS
            for emotion in EMOTIONS
            for intensity in self.intensities
            if emotion != "01" or intensity == "01"
            for statement in ("01", "02")
            for repetition in ("01", "02")
        )
        return absent("RAVDESS", expected, (utterance.id.rpartition("/")[2] for utterance in utterances))
