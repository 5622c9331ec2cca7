"""Damaged audio of many containers, made from a seed: no traceback, no hang, and nothing is read shorter than it was in silence."""

from __future__ import annotations

import io
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sere_core.config.model import Features
from sere_core.data.check import read_all
from sere_core.features import audio
from sere_core.predict.inputs import Source
from sere_core.predict.pieces import Cutting, cut
from sere_registry import Recording, SereError

RATE, SECONDS = 16_000, 1.6
Bytes = bytes
#: name -> how libsndfile writes it
BY_SNDFILE: dict[str, dict[str, str]] = {
    "a.wav": {},
    "float.wav": {"subtype": "FLOAT"},
    "wavex.wav": {"format": "WAVEX", "subtype": "PCM_16"},
    "rifx.wav": {"endian": "BIG"},
    "rf64.wav": {"format": "RF64"},
    "gsm.wav": {"subtype": "GSM610"},
    "a.w64": {},
    "a.aiff": {},
    "a.au": {},
    "a.caf": {},
    "a.voc": {},
    "a.sph": {"format": "NIST"},
    "a.flac": {},
    "a.mp3": {},
    "vorbis.ogg": {"subtype": "VORBIS"},
    "opus.ogg": {"subtype": "OPUS"},
}
#: name -> format, codec and rate of PyAV
BY_PYAV = {
    "a.m4a": ("ipod", "aac", 48_000),
    "a.aac": ("adts", "aac", 48_000),
    "a.webm": ("webm", "libopus", 48_000),
    "a.wma": ("asf", "wmav2", 44_100),
    "a.avi": ("avi", "pcm_s16le", 16_000),
}
#: containers whose data carry checksums
CHECKED = (".flac", ".ogg")


def voice(rng: np.random.Generator, rate: int = RATE, seconds: float = SECONDS) -> np.ndarray:
    t = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(rng.uniform(90, 250) * (1 + 0.1 * np.sin(5 * t))) / rate
    tone = sum(np.sin(k * phase) / k for k in range(1, 8))
    return (0.15 * tone + 0.01 * rng.standard_normal(len(t))).astype(np.float32)


def encoded(name: str, samples: np.ndarray, rate: int = RATE) -> Bytes:
    held = io.BytesIO()
    soundfile.write(held, samples, rate, **{"format": Path(name).suffix[1:].upper(), **BY_SNDFILE[name]})
    return held.getvalue()


def by_pyav(name: str, rng: np.random.Generator) -> Bytes:
    av = pytest.importorskip("av")
    form, codec, rate = BY_PYAV[name]
    held, samples = io.BytesIO(), voice(rng, rate)
    with av.open(held, "w", format=form) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = 64_000
        whole = (samples * 32767).astype(np.int16) if codec == "pcm_s16le" else samples
        frame = av.AudioFrame.from_ndarray(whole[None], format="s16" if codec == "pcm_s16le" else "fltp", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    return held.getvalue()


@dataclass(frozen=True)
class Case:
    """A damaged file.

    Args:
        must: the damage has to be noticed: refused, or said.
    """

    path: Path
    kind: str
    seconds: float
    must: bool


def flipped(content: Bytes, rng: np.random.Generator, first: int, last: int, count: int = 3) -> Bytes:
    data = bytearray(content)
    for at in rng.integers(first, max(first + 1, min(last, len(data))), count):
        data[at] ^= 1 << int(rng.integers(8))
    return bytes(data)


def damages(name: str, rng: np.random.Generator, whole: Bytes, other: Bytes) -> dict[str, tuple[str, Bytes, bool]]:
    """Kind -> name, bytes, and must it be noticed?"""
    suffix, at = Path(name).suffix, int(rng.integers(len(whole) // 10, int(0.97 * len(whole))))
    tag = b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)
    return {
        "cut": (name, whole[:at], True),
        "cut in the header": (name, whole[: int(rng.integers(1, 60))], True),
        "flips in the header": (name, flipped(whole, rng, 0, 60), False),
        "flips in the data": (name, flipped(whole, rng, len(whole) // 2, len(whole) - 64), suffix in CHECKED),
        "zeros": (name, whole[:at] + bytes(min(2000, len(whole) - at)) + whole[at + 2000 :], suffix in CHECKED),
        "zeros only": (name, bytes(len(whole)), True),
        "concatenated": (name, whole + other, False),
        "another suffix": (f"x{'.mp3' if suffix in ('.wav', '.flac') else '.flac'}", whole, False),
        "a tag in front": (name, tag + whole, False),
        "a cut behind a tag": (name, tag + whole[:at], True),
        "garbage behind": (name, whole + rng.integers(0, 256, 777, np.uint8).tobytes(), False),
    }


def stereo(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    mono, other = voice(rng), voice(rng)
    return {
        "a dead channel": (np.stack([mono, 0 * mono], 1), True),
        "an inverted channel": (np.stack([mono, -0.9 * mono], 1), True),
        "another person's channel": (np.stack([mono, other], 1), True),
        "the scale of integers": (mono[:, None] * 32767, True),
        "1e29": (mono[:, None] * np.float32(1e29), True),
        "beyond full scale": (mono[:, None] * 9, True),
        "an offset": (mono[:, None] * 0.1 + 0.5, True),
        "nothing but an offset": (0 * mono[:, None] + 0.5, True),
        "one sample": (mono[100:101, None], True),
        "a click": ((np.arange(len(mono)) == 500)[:, None] * np.float32(0.3), True),
        "three bits": (np.round(mono[:, None] * 6) / 6, True),
        "clipped": (np.clip(mono[:, None] * 20, -1, 1), True),
        "two alike channels": (np.stack([mono, 0.8 * mono], 1), False),
    }[kind]


PLAUSIBLE = ["a dead channel", "an inverted channel", "another person's channel", "the scale of integers", "1e29", "beyond full scale"]
PLAUSIBLE += ["an offset", "nothing but an offset", "one sample", "a click", "three bits", "clipped", "two alike channels"]


def made(folder: Path, count: int, seed: int) -> list[Case]:
    rng, cases = np.random.default_rng(seed), list[Case]()
    makers: dict[str, Callable[[], Bytes]] = {name: lambda name=name: encoded(name, voice(rng)) for name in BY_SNDFILE}  # type: ignore[misc]
    makers |= {name: lambda name=name: by_pyav(name, rng) for name in BY_PYAV}  # type: ignore[misc]
    while len(cases) < count:
        for name, make in makers.items():
            whole = make()
            found = damages(name, rng, whole, make())
            for kind in rng.permutation(list(found))[: 3 if count < 200 else 6]:
                to, content, must = found[kind]
                path = folder / f"{len(cases):03}" / to
                path.parent.mkdir()
                path.write_bytes(content)
                cases.append(Case(path, f"{name}: {kind}", SECONDS, must))
        for kind in PLAUSIBLE:
            samples, must = stereo(kind, rng)
            path = folder / f"{len(cases):03}" / "a.wav"
            path.parent.mkdir()
            soundfile.write(path, samples, RATE, subtype="FLOAT")
            cases.append(Case(path, kind, len(samples) / RATE, must))
        for rate in (7, 15_999, 999_999):
            path = folder / f"{len(cases):03}" / "a.wav"
            path.parent.mkdir()
            content = encoded("a.wav", voice(rng))
            path.write_bytes(content[:24] + struct.pack("<I", rate) + content[28:])
            cases.append(Case(path, f"{rate} Hz", SECONDS, True))
    return cases[:count]


@pytest.mark.parametrize("count", [60, pytest.param(300, marks=pytest.mark.counts)])
def test_nothing_that_is_damaged_is_read_in_silence(tmp_path: Path, count: int) -> None:
    cases, silent, slow, outcomes = made(tmp_path, count, seed=count), list[str](), list[str](), Counter[str]()
    recordings = [Recording(str(number), case.path, "c", "de", "s") for number, case in enumerate(cases)]
    checked = read_all(recordings)  # a traceback of any file would end this
    for case, recording in zip(cases, recordings, strict=True):
        begin, found = time.monotonic(), checked[recording.key]
        try:
            facts = audio.read(recording, Features()).facts
        except SereError as problem:
            assert isinstance(found, SereError) and problem.problems[0].code == found.problems[0].code, case
            outcomes[problem.problems[0].code] += 1
            assert problem.problems[0].code.startswith("D6") and "\n" not in problem.problems[0].message, case
        else:
            assert not isinstance(found, SereError) and found.remarks == facts.remarks, case
            short = facts.seconds + facts.trimmed_seconds < case.seconds - 0.05 and "Hz" not in case.kind
            outcomes["said" if facts.remarks else "silent" if case.must or short else "read"] += 1
            if (case.must or short) and not facts.remarks:
                silent.append(f"{case.kind}: {facts}")
        for part in cut(Source(case.path), Cutting(window=0.5, hop=0.5, longest=1.0)):
            try:
                part.read(Features())
            except SereError as problem:
                assert problem.problems[0].code.startswith("D6"), case
        if time.monotonic() - begin > 10:
            slow.append(case.kind)
    print(dict(outcomes))
    assert not slow and not silent, "\n".join(silent + slow)
