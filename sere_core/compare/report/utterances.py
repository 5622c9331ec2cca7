"""Utterances of a report: what was predicted, what was true, and a clip where the audio is here."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import soundfile

from sere_core.config.model import Features
from sere_core.features import audio
from sere_core.score.records import Prediction
from sere_registry.errors import SereError
from sere_registry.utterances import Recording

#: seconds of a clip, and bytes of all clips of a page
LONGEST, ROOM = 12.0, 2_500_000


@dataclass(frozen=True)
class Heard:
    """A line of a list of utterances.

    Args:
        id, fold, speaker, text: whose it is; speaker and text "" where they are not known.
        truth, predicted: classes; truth "" where there is no label.
        confidence: the posterior of the prediction.
        support: the posterior of the truth; 0 where there is none.
        clip: a data URL; "" without audio.
    """

    id: str
    fold: int
    speaker: str
    text: str
    truth: str
    predicted: str
    confidence: float
    support: float
    clip: str = ""


def listed(predictions: Iterable[Prediction], classes: list[str], recordings: Mapping[str, Recording]) -> list[Heard]:
    """A line for each prediction, the most confident first; folds count from 1."""
    lines = []
    for each in predictions:
        recording = recordings.get(each.id)
        support = each.posteriors[classes.index(each.truth)] if each.truth else 0.0
        said = (recording.speaker, recording.text or "") if recording else ("", "")
        lines.append(Heard(each.id, each.fold + 1, *said, each.truth, each.prediction, max(each.posteriors), support))
    return sorted(lines, key=lambda line: (-line.confidence, line.id))


class Player:
    """Puts clips beside utterances until the page is full.

    Args:
        recordings: of the target by id; without any there are no clips.
        options: how a run reads audio.
    """

    def __init__(self, recordings: Mapping[str, Recording], options: Features | None) -> None:
        self._recordings, self._options, self._room = recordings, options, ROOM

    def with_clips(self, lines: Iterable[Heard]) -> Iterator[Heard]:
        """The lines, with clips where their audio can be read."""
        for line in lines:
            clip = self._clip(self._recordings.get(line.id))
            self._room -= len(clip)
            yield replace(line, clip=clip)

    def _clip(self, recording: Recording | None) -> str:
        if recording is None or self._options is None or self._room <= 0:
            return ""
        try:
            samples = audio.read(recording, self._options).samples[: int(LONGEST * audio.SAMPLE_RATE)]
        except SereError:
            return ""
        held = io.BytesIO()
        soundfile.write(held, samples, audio.SAMPLE_RATE, format="MP3", compression_level=0.8)
        return f"data:audio/mpeg;base64,{base64.b64encode(held.getvalue()).decode()}"
