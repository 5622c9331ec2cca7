"""Tiny corpora in the official layouts, made on the spot: tones in noise whose pitch and loudness depend on emotion and speaker."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from sere_plugins.corpora.official import CASIA_SPEAKERS, ENTERFACE_CODES, Casia, EmoDB, Emovo, Ravdess

RATE = 16000
ORDER = ("neutral", "anger", "sadness", "fear", "happiness", "disgust", "surprise", "boredom", "calm")


def sound(emotion: str, speaker: str, text: str, seconds: float = 0.3) -> NDArray[np.float32]:
    """A tone in noise: the emotion sets its pitch and loudness, the speaker shifts them, the text sets the length."""
    key = hashlib.sha256(f"{emotion}|{speaker}|{text}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(key[:8], "big"))
    place = ORDER.index(emotion)
    shift = hashlib.sha256(speaker.encode()).digest()[0] / 255
    length = round(RATE * seconds * (1.0 + 0.2 * rng.random()))
    tone = np.sin(2 * np.pi * 110 * 2 ** (place / 4 + shift / 2) * np.arange(length) / RATE)
    return ((0.05 + 0.03 * place) * tone + 0.01 * rng.normal(size=length)).astype(np.float32)


def write(path: Path, samples: NDArray[np.float32], rate: int = RATE) -> Path:
    """Write a file, and the folders that lead to it; an AVI file holds nothing but 16-bit audio, and needs PyAV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".avi":
        soundfile.write(path, samples, rate)
        return path
    import av

    with av.open(str(path), "w", format="avi") as file:
        stream = file.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None, :], format="s16", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    return path


def make_emodb(
    root: Path, *, speakers: Sequence[str] = tuple(EmoDB.layout.speakers), texts: Sequence[str] = ("a01", "b02"), suffix: str = ".wav"
) -> Path:
    """`wav/03a01Fa.wav`: 7 emotions of each speaker and text."""
    for speaker, text, (letter, emotion) in product(speakers, texts, EmoDB.layout.emotions.items()):
        write(root / "wav" / f"{speaker}{text}{letter.upper()}a{suffix}", sound(emotion, speaker, text))
    return root


def make_emovo(
    root: Path, *, speakers: Sequence[str] = tuple(Emovo.layout.speakers), texts: Sequence[str] = ("b1", "n2"), suffix: str = ".wav"
) -> Path:
    """`f1/dis-f1-b1.wav`: 7 emotions of each speaker and text."""
    for speaker, text, (code, emotion) in product(speakers, texts, Emovo.layout.emotions.items()):
        write(root / speaker / f"{code}-{speaker}-{text}{suffix}", sound(emotion, speaker, text))
    return root


def make_casia(
    root: Path, *, speakers: Sequence[str] = CASIA_SPEAKERS, texts: Sequence[str] = ("201", "202", "250"), suffix: str = ".wav"
) -> Path:
    """`liuchanhg/angry/201.wav`: 6 emotions of each speaker and text, and two stray files at the top, as in the copies around."""
    for speaker, text, (folder, emotion) in product(speakers, texts, Casia.layout.emotions.items()):
        write(root / speaker / folder / f"{text}{suffix}", sound(emotion, speaker, text))
    for stray in ("angry", "201"):
        write(root / f"{stray}{suffix}", sound("anger", "nobody", stray))
    return root


def make_enterface(
    root: Path, *, subjects: Sequence[int] = (1, 2, 11, 12), sentences: Sequence[int] = (1, 2), suffix: str = ".wav", avi: bool = False
) -> Path:
    """`subject 1/anger/sentence 1/s1_an_1.wav`, with the names of the real release: subject 11 is called s12, 6 is not cut."""
    suffix = ".avi" if avi else suffix
    for code, emotion in ENTERFACE_CODES.items():
        for subject, sentence in product(subjects, sentences):
            name = f"s{12 if subject == 11 else subject}_{code}_{sentence}"
            folder = root / f"subject {subject}" / emotion / f"sentence {sentence}"
            write(folder / f"{name}{suffix}", sound(emotion, f"subject {subject}", f"{code}{sentence}"))
        write(root / "subject 6" / emotion / f"s6_{code}{suffix}", sound(emotion, "subject 6", code, 0.5))
    return root


def make_ravdess(
    root: Path,
    *,
    actors: Sequence[str] = ("01", "02", "03", "04"),
    statements: Sequence[str] = ("01", "02"),
    repetitions: Sequence[str] = ("01",),
    suffix: str = ".wav",
) -> Path:
    """`Actor_12/03-01-06-01-02-01-12.wav`: 8 emotions, all but neutral at two intensities."""
    for actor, (code, emotion), *parts in product(actors, Ravdess.layout.emotions.items(), ("01", "02"), statements, repetitions):
        if (emotion, parts[0]) != ("neutral", "02"):
            name = f"03-01-{code}-{'-'.join(parts)}-{actor}"
            write(root / f"Actor_{actor}" / f"{name}{suffix}", sound(emotion, actor, name))
    return root
