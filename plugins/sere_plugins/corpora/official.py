"""The corpora that come in an official layout: EmoDB, EMOVO, CASIA, RAVDESS and eNTERFACE'05."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product

from sere_plugins.corpora.folder import AUDIO, FolderCorpus, Labels, Layout, few
from sere_plugins.specs.corpora import RavdessParams
from sere_registry.errors import counted, error
from sere_registry.protocols import BuildContext
from sere_registry.utterances import Finding, Utterance


def pattern(text: str) -> re.Pattern[str]:
    """Names are written in either case in copies around."""
    return re.compile(text, re.IGNORECASE)


#: EmoDB's official numbers of files: it is not balanced
BY_SPEAKER = {"03": 49, "08": 58, "09": 43, "10": 38, "11": 55, "12": 35, "13": 61, "14": 69, "15": 56, "16": 71}
BY_EMOTION = {"anger": 127, "boredom": 81, "disgust": 46, "fear": 69, "happiness": 71, "neutral": 79, "sadness": 62}
EMOVO_EMOTIONS = {
    "dis": "disgust", "gio": "happiness", "neu": "neutral", "pau": "fear", "rab": "anger", "sor": "surprise", "tri": "sadness",
}  # fmt: skip
EMOVO_SPEAKERS = {"f1": "female", "f2": "female", "f3": "female", "m1": "male", "m2": "male", "m3": "male"}
EMOVO_TEXTS = ("b1", "b2", "b3", "d1", "d2", "l1", "l2", "l3", "l4", "n1", "n2", "n3", "n4", "n5")
CASIA_EMOTIONS = {
    "angry": "anger", "fear": "fear", "happy": "happiness", "neutral": "neutral", "sad": "sadness", "surprise": "surprise",
}  # fmt: skip
CASIA_SPEAKERS = ("liuchanhg", "wangzhe", "zhaoquanyin", "ZhaoZuoxiang")  # as their folders are written
RAVDESS_EMOTIONS = {
    "01": "neutral", "02": "calm", "03": "happiness", "04": "sadness",
    "05": "anger", "06": "fear", "07": "disgust", "08": "surprise",
}  # fmt: skip
RAVDESS_ACTORS = {f"{actor:02d}": "male" if actor % 2 else "female" for actor in range(1, 25)}
ENTERFACE_CODES = {"an": "anger", "di": "disgust", "fe": "fear", "ha": "happiness", "sa": "sadness", "su": "surprise"}


class EmoDB(FolderCorpus):
    """The Berlin database of emotional speech: 10 speakers say 10 texts in 7 emotions, 535 takes that were recognised."""

    layout = Layout(
        use="emodb",
        title="EmoDB",
        example="wav/03a01Fa.wav",  # speaker 03, text a01, F for Freude (happiness), version a
        language="de",
        file=pattern(r"(?P<speaker>\d\d)(?P<text>[ab]\d\d)(?P<emotion>[A-Z])[a-z]"),
        place="one folder with all the others",
        emotions={
            "w": "anger", "l": "boredom", "e": "disgust", "a": "fear", "f": "happiness", "t": "sadness", "n": "neutral",
        },
        speakers={
            "03": "male", "08": "female", "09": "female", "10": "male", "11": "male",
            "12": "male", "13": "female", "14": "female", "15": "male", "16": "female",
        },
    )  # fmt: skip

    def differences(self, utterances: Sequence[Utterance]) -> Iterable[Finding]:
        """535 files, by speaker and by emotion."""
        total = sum(BY_SPEAKER.values())
        speakers = _uneven(BY_SPEAKER, Counter(utterance.speaker for utterance in utterances))
        emotions = _uneven(BY_EMOTION, Counter(utterance.emotion for utterance in utterances))
        if speakers or emotions:
            level = "missing" if len(utterances) < total else "surplus"
            what = f"EmoDB has {total} files, here are {len(utterances)}; by speaker: {speakers}; by emotion: {emotions}"
            yield Finding(level, what)


def _uneven(official: Mapping[str, int], found: Mapping[str, int]) -> str:
    numbers = ((name, found.get(name, 0), number) for name, number in official.items())
    return ", ".join(f"{name} {here} of {number}" for name, here, number in numbers if here != number)


class Emovo(FolderCorpus):
    """EMOVO: 3 women and 3 men say 14 texts in 7 emotions, 588 files."""

    layout = Layout(
        use="emovo",
        title="EMOVO",
        example="f1/dis-f1-b1.wav",  # disgust, speaker f1, text b1
        language="it",
        folders=(pattern(r"(?P<speaker>[fm]\d)"),),
        file=pattern(r"(?P<emotion>[a-z]{3})-(?P<speaker>[fm]\d)-(?P<text>[a-z]\d)"),
        place="their speaker's folder",
        emotions=EMOVO_EMOTIONS,
        speakers=EMOVO_SPEAKERS,
        official=tuple("-".join(parts) for parts in product(EMOVO_EMOTIONS, EMOVO_SPEAKERS, EMOVO_TEXTS)),
    )


class Casia(FolderCorpus):
    """The subset of CASIA in circulation: 4 speakers say 50 texts in 6 emotions, 1200 files.

    Wavs at the top belong to nobody.
    """

    layout = Layout(
        use="casia",
        title="CASIA's subset",
        example="liuchanhg/angry/201.wav",  # speaker, emotion, number of the text
        language="zh",
        folders=(pattern(f"(?P<speaker>{'|'.join(CASIA_SPEAKERS)})"), pattern(f"(?P<emotion>{'|'.join(CASIA_EMOTIONS)})")),
        file=re.compile(r"(?P<text>\d+)"),
        place="<speaker>/<emotion>/",
        flat=False,
        emotions=CASIA_EMOTIONS,
        speakers=dict.fromkeys(CASIA_SPEAKERS),
        official=tuple("/".join(parts) for parts in product(CASIA_SPEAKERS, CASIA_EMOTIONS, map(str, range(201, 251)))),
    )

    def differences(self, utterances: Sequence[Utterance]) -> Iterable[Finding]:
        """Each speaker says texts 201 to 250 in each emotion; copies with more texts are more than the usual subset."""
        yield from super().differences(utterances)
        official = {name.lower() for name in self.layout.official}
        beyond = sum(utterance.id.lower() not in official for utterance in utterances)
        if beyond:
            what = f"{beyond} files have other texts than 201 to 250, so this is more than the usual subset; they are used"
            yield Finding("note", what)


class Ravdess(FolderCorpus):
    """RAVDESS, audio-only speech: 24 actors say 2 statements twice in 8 emotions, 1440 files.

    All emotions but neutral are spoken at two intensities.
    """

    layout = Layout(
        use="ravdess",
        title="RAVDESS",
        # modality, channel, emotion, intensity, statement, repetition, actor; 03-01 is audio-only speech
        example="Actor_12/03-01-06-01-02-01-12.wav",
        language="en",
        folders=(pattern(r"Actor_(?P<speaker>\d\d)"),),
        file=re.compile(r"03-01-(?P<emotion>\d\d)-\d\d-(?P<text>\d\d)-\d\d-(?P<speaker>\d\d)"),
        place="their actor's folder",
        emotions=RAVDESS_EMOTIONS,
        speakers=RAVDESS_ACTORS,
        official=tuple(
            f"03-01-{'-'.join(parts)}"
            for parts in product(RAVDESS_EMOTIONS, ("01", "02"), ("01", "02"), ("01", "02"), RAVDESS_ACTORS)
            if parts[:2] != ("01", "02")
        ),
    )

    def __init__(self, params: RavdessParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.intensity = {"normal": "01", "strong": "02"}.get(params.intensity)

    def wanted(self, names: tuple[str, ...]) -> bool:
        """Is the file of the intensity that the parameters name?"""
        return self.intensity is None or names[-1].split("-")[3] == self.intensity


class EnterfaceLayout(Layout):
    """eNTERFACE'05's: the folders tell the labels, since the names cannot be trusted.

    In the release of the corpus's page all files of subject 11 are named `s12_...`, one ends in `3avi.avi`, and those of
    subject 3 begin with `s_3_`; the folders are regular.
    """

    subject = pattern(r"(?:subject[ _-]?|s_?)(\d+)")

    def labels(self, names: tuple[str, ...]) -> Labels | str:
        """Subject, emotion and sentence from the folders; from the name where all files stand in one folder."""
        subject, name, folders = self.subject.match(names[0]), self.file.fullmatch(names[-1]), names[:-1]
        if subject is not None and int(subject[1]) == 6:
            return "subject 6 is not cut into sentences"
        odd = f"not placed and named as {self.title} does"
        if subject is None or name is None:
            return odd
        emotion, sentence = self.emotions[name["emotion"].lower()], name["text"]
        if folders:
            whole = self.subject.fullmatch(folders[0])
            if whole is None or len(folders) not in (2, 3) or self.emotions.get(folders[1].lower()) != emotion:
                return odd
            numbered = self.folders[2].fullmatch(folders[-1])  # without such a folder, the name's number counts
            sentence = numbered["text"] if numbered else sentence
        return Labels(emotion, str(int(subject[1])), None, f"{emotion}-{sentence}")


class Enterface(FolderCorpus):
    """eNTERFACE'05: 44 subjects react in 5 sentences to each of 6 emotions.

    Each emotion has its own sentences, so the text tells the emotion: a model that hears words scores too well.
    Subject 6 is not cut into sentences and is left out.  Files are AVI, or extracted audio of the same name.
    """

    layout = EnterfaceLayout(
        use="enterface",
        title="eNTERFACE'05",
        example="subject 1/anger/sentence 1/s1_an_1.avi",
        language="en",
        folders=(pattern(r"subject[ _-]?\d+"), pattern(r"\w+"), pattern(r"(?:sentence[ _-]?)?(?P<text>[1-5])")),
        file=pattern(rf"s_?\d+_(?P<emotion>{'|'.join(ENTERFACE_CODES)})_(?P<text>[1-5])(?:avi)?"),
        place="their subject's folder",
        emotions={
            **ENTERFACE_CODES, **{emotion: emotion for emotion in ENTERFACE_CODES.values()},
            "happy": "happiness", "sad": "sadness", "angry": "anger",
        },
        speakers={},
        suffixes=AUDIO | {".avi"},
    )  # fmt: skip

    def differences(self, utterances: Sequence[Utterance]) -> Iterable[Finding]:
        """30 files of each subject; releases differ, so this only says what is here."""
        speakers = Counter(utterance.speaker for utterance in utterances)
        short = [f"subject {speaker}: {speakers[speaker]}" for speaker in sorted(speakers, key=int) if speakers[speaker] != 30]
        here = f"{len(utterances)} files of {len(speakers)} subjects"
        yield Finding("note", f"{here}; releases differ: quote the digest of the file list")
        if short:
            yield Finding("missing", f"subjects without exactly 30 files: {few(short)}")
        if "/" not in utterances[0].id and {"11", "12"} - speakers.keys() == {"11"}:
            what = "no subject 11: its files are named s12_..., so one of the two was lost when all went into one folder"
            yield Finding("note", what)
        avi = _undecodable(utterances)
        if avi:
            yield Finding("missing", f"{counted(avi, 'file')} are AVI and PyAV is not installed: pip install 'sere[avi]'")

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Make sure that the audio can be decoded.

        Raises:
            SereError: P108 where there are AVI files and PyAV is not installed.
        """
        avi = _undecodable(self.utterances())
        if avi:
            hint = "pip install 'sere[avi]', or extract the audio to .wav files beside the .avi"
            raise error("P108", f"eNTERFACE'05: {counted(avi, 'file')} in {self.root} are AVI, which needs the distribution av", hint)


def _undecodable(utterances: Sequence[Utterance]) -> int:
    """How many files are AVI, where PyAV is not installed."""
    if importlib.util.find_spec("av") is not None:
        return 0
    return sum(utterance.recording.path.suffix.lower() == ".avi" for utterance in utterances)
