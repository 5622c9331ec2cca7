"""eNTERFACE'05: `subject 1/anger/sentence 1/s1_an_1.avi`; the folders tell the labels, since the names cannot be trusted.

In the release of the corpus's page all files of subject 11 are named `s12_...`, one ends in `3avi.avi`, and those of
subject 3 begin with `s_3_`; the folders are regular.
"""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from sere_plugins.corpora.folder import FolderCorpus, Labels
from sere_plugins.corpora.layout import AUDIO, Layout, count, few
from sere_registry.errors import error
from sere_registry.utterances import Finding, Utterance

CODES = {"an": "anger", "di": "disgust", "fe": "fear", "ha": "happiness", "sa": "sadness", "su": "surprise"}
FOLDERS = {**{emotion: emotion for emotion in CODES.values()}, "happy": "happiness", "sad": "sadness", "angry": "anger"}
NAME = re.compile(rf"s_?(\d+)_({'|'.join(CODES)})_([1-5])(?:avi)?", re.IGNORECASE)
SUBJECT = re.compile(r"(?:subject[ _-]?|s)(\d+)", re.IGNORECASE)
SENTENCE = re.compile(r"(?:sentence[ _-]?)?([1-5])", re.IGNORECASE)
UNCUT = "6"


class Enterface(FolderCorpus):
    """eNTERFACE'05: 44 subjects react in 5 sentences to each of 6 emotions.

    Each emotion has its own sentences, so the text tells the emotion: a model that hears words scores too well.
    Subject 6 is not cut into sentences and is left out.  Files are AVI, or extracted audio of the same name.
    """

    layout = Layout(
        "enterface",
        "eNTERFACE'05",
        "subject 1/anger/sentence 1/s1_an_1.avi",
        folder=re.compile(r"subject[ _-]?\d+", re.IGNORECASE),
        file=NAME,
        depth=4,
        suffixes=AUDIO | {".avi"},
    )
    language = "en"

    def labels(self, names: tuple[str, ...]) -> Labels | str:
        """Subject, emotion and sentence from the folders; from the name where all files stand in one folder."""
        if len(names) == 1:
            parts = NAME.fullmatch(names[0])
            found = (parts[1], CODES[parts[2].lower()], parts[3]) if parts else None
        elif len(names) in (3, 4):
            found = _folders(names)
        else:
            found = None
        subject = SUBJECT.fullmatch(names[0])
        if (found and _number(found[0]) == UNCUT) or (subject and _number(subject[1]) == UNCUT):
            return "subject 6 is not cut into sentences"
        if found is None:
            return "not placed and named as eNTERFACE'05 does"
        speaker, emotion, sentence = found
        return Labels(emotion, _number(speaker), None, f"{emotion}-{sentence}")

    def official(self, utterances: Sequence[Utterance]) -> Iterable[Finding]:
        """30 files of each subject; releases differ, so this only says what is here."""
        speakers = Counter(utterance.speaker for utterance in utterances)
        short = [f"subject {speaker}: {speakers[speaker]}" for speaker in sorted(speakers, key=int) if speakers[speaker] != 30]
        yield Finding("note", f"{len(utterances)} files of {len(speakers)} subjects; releases differ: quote the digest of the file list")
        if short:
            yield Finding("missing", f"subjects without exactly 30 files: {few(short)}")
        if "/" not in utterances[0].id and {"11", "12"} - speakers.keys() == {"11"}:
            yield Finding("note", "no subject 11: its files are named s12_..., so one of the two was lost when all went into one folder")
        if self._avi(utterances) and not _has_av():
            yield Finding("missing", f"{count(self._avi(utterances))} are AVI and PyAV is not installed: pip install 'sere[avi]'")

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Make sure that the audio can be decoded.

        Raises:
            SereError: P108 where there are AVI files and PyAV is not installed.
        """
        avi = self._avi(self.utterances())
        if avi and not _has_av():
            hint = "pip install 'sere[avi]', or extract the audio to .wav files beside the .avi"
            raise error("P108", f"eNTERFACE'05: {count(avi)} in {self.root} are AVI, which needs the distribution av", hint)

    def _avi(self, utterances: Sequence[Utterance]) -> int:
        return sum(utterance.recording.path.suffix.lower() == ".avi" for utterance in utterances)


def _folders(names: tuple[str, ...]) -> tuple[str, str, str] | None:
    """`subject N/<emotion>/[sentence M/]<name>`: the sentence is the folder's number, else the name's last digit."""
    subject, emotion = SUBJECT.fullmatch(names[0]), FOLDERS.get(names[1].lower())
    parts = NAME.fullmatch(names[-1])
    sentence = SENTENCE.fullmatch(names[2])[1] if len(names) == 4 and SENTENCE.fullmatch(names[2]) else parts[3] if parts else None  # type: ignore[index]
    if subject is None or emotion is None or sentence is None or parts is None or CODES[parts[2].lower()] != emotion:
        return None
    return subject[1], emotion, sentence


def _number(digits: str) -> str:
    return str(int(digits))


def _has_av() -> bool:
    return importlib.util.find_spec("av") is not None
