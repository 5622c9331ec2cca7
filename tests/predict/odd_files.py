"""Files as they turn up in folders: good ones of many kinds, and bad ones; made from a seed."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
#: stems that are hard on formats, shells and spreadsheets
STEMS = [
    "a b",
    "ümläut 你好 🎧",
    "quote\"s 'n' more",
    "comma, semi;colon",
    "two\nlines",
    "car\rriage",
    "tab\tbed",
    "=1+1",
    "-o",
    "@x",
]
STEMS += ["back\\slash", "$HOME", "[a-z]*", "%41", "x" * 240, os.fsdecode(b"latin-\xe9")]


def voice(rng: np.random.Generator, seconds: float, rate: int = RATE) -> np.ndarray:
    """Something with a pitch, harmonics and a little noise, in [-1, 1]."""
    t = np.arange(int(seconds * rate)) / rate
    f0 = rng.uniform(90, 250) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(1, 4) * t))
    phase = 2 * np.pi * np.cumsum(f0) / rate
    tone = sum(np.sin(k * phase) / k for k in range(1, 8))
    return (0.2 * tone + 0.01 * rng.standard_normal(len(t))).astype(np.float32)


def encoded(samples: np.ndarray, rate: int, kind: str, subtype: str | None = None) -> bytes:
    """The bytes of an audio file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def _good(rng: np.random.Generator) -> dict[str, Callable[[], bytes]]:
    rate = int(rng.choice([8000, 11025, 16000, 22050, 44100, 48000]))
    mono = voice(rng, rng.uniform(0.25, 0.5), rate)
    stereo = np.stack([mono, 0.5 * mono], axis=1)
    junk = rng.integers(0, 256, 300, np.uint8).tobytes()
    return {
        "pcm16.wav": lambda: encoded(mono, rate, "WAV"),
        "stereo.wav": lambda: encoded(stereo, rate, "WAV"),
        "float.wav": lambda: encoded(mono, rate, "WAV", "FLOAT"),
        "pcm24.wav": lambda: encoded(mono, rate, "WAV", "PCM_24"),
        "u8.wav": lambda: encoded(mono, rate, "WAV", "PCM_U8"),
        "ulaw.wav": lambda: encoded(mono, 8000, "WAV", "ULAW"),
        "streamed.wav": lambda: (wav := encoded(mono, rate, "WAV"))[:40] + b"\xff\xff\xff\xff" + wav[44:],
        "long.wav": lambda: encoded(voice(rng, 7.0), RATE, "WAV"),
        "long.flac": lambda: encoded(voice(rng, 5.0), RATE, "FLAC"),
        "upper.WAV": lambda: encoded(mono, rate, "WAV"),
        "ok.flac": lambda: encoded(stereo, rate, "FLAC"),
        "ok.ogg": lambda: encoded(mono, 16000, "OGG", "VORBIS"),
        "ok.aiff": lambda: encoded(mono, rate, "AIFF"),
        "ok.mp3": lambda: encoded(voice(rng, 0.6, 44100), 44100, "MP3"),
        "junk at the end.mp3": lambda: encoded(voice(rng, 0.6, 44100), 44100, "MP3") + b"TAG" + junk,
    }


def _bad(rng: np.random.Generator) -> dict[str, Callable[[], bytes]]:
    mono = voice(rng, 0.3)
    wav = encoded(mono, RATE, "WAV")
    nan, huge = mono.copy(), mono * np.float32(1e38)
    nan[100] = np.nan
    return {
        "zero bytes.wav": lambda: b"",
        "zero bytes.mp3": lambda: b"",
        "truncated.wav": lambda: wav[: int(rng.integers(50, len(wav) - 100))],
        "header only.wav": lambda: wav[: int(rng.integers(1, 44))],
        "huge header.wav": lambda: wav[:40] + (0x7FFFFF00).to_bytes(4, "little") + wav[44:],
        "no samples.wav": lambda: encoded(mono[:0], RATE, "WAV"),
        "one sample.wav": lambda: encoded(mono[:1], RATE, "WAV"),
        "silence.wav": lambda: encoded(0 * mono, RATE, "WAV"),
        "channels cancel.wav": lambda: encoded(np.stack([mono, -mono], axis=1), RATE, "WAV", "FLOAT"),
        "nan.wav": lambda: encoded(nan, RATE, "WAV", "FLOAT"),
        "infinite.wav": lambda: encoded(np.where(np.isnan(nan), np.inf, nan).astype(np.float32), RATE, "WAV", "FLOAT"),
        "1e38.wav": lambda: encoded(huge, RATE, "WAV", "FLOAT"),
        "flac.wav": lambda: encoded(mono, RATE, "FLAC"),
        "wav.mp3": lambda: wav,
        "text.wav": lambda: b"dear diary,\n" * 50,
        "page.mp3": lambda: b"<!DOCTYPE html><html>404</html>",
        "zeros.flac": lambda: bytes(5000),
        "noise.ogg": lambda: rng.integers(0, 256, 4000, np.uint8).tobytes(),
        "noise.m4a": lambda: rng.integers(0, 256, 4000, np.uint8).tobytes(),
        "noise behind a head.wav": lambda: wav[:12] + rng.integers(0, 256, 4000, np.uint8).tobytes(),
    }


def _either(rng: np.random.Generator) -> dict[str, Callable[[], bytes]]:
    """Damaged at random: whether anything is left is the decoder's business."""

    def damaged(content: bytes, head: int) -> bytes:
        data = bytearray(content)
        for place in rng.integers(0, min(head, len(data)), 5):
            data[place] = int(rng.integers(0, 256))
        return bytes(data)

    mono = voice(rng, 0.4)
    return {
        "damaged head.wav": lambda: damaged(encoded(mono, RATE, "WAV"), 44),
        "damaged.flac": lambda: damaged(encoded(mono, RATE, "FLAC"), 1 << 30),
        "damaged.ogg": lambda: damaged(encoded(mono, RATE, "OGG", "VORBIS"), 1 << 30),
        "damaged.mp3": lambda: damaged(encoded(voice(rng, 0.6, 44100), 44100, "MP3"), 1 << 30),
        "junk at the start.mp3": lambda: bytes(int(rng.integers(1, 500))) + encoded(voice(rng, 0.6, 44100), 44100, "MP3"),
        "half.flac": lambda: (flac := encoded(voice(rng, 7.0), RATE, "FLAC"))[: len(flac) // 2],
        "half.mp3": lambda: (mp3 := encoded(voice(rng, 0.6, 44100), 44100, "MP3"))[: len(mp3) // 2],
    }


def special(folder: Path) -> dict[Path, bool]:
    """What is no regular file, or cannot be opened."""
    found = {folder / name: False for name in ("pipe.wav", "folder.wav", "broken link.wav", "loop.wav", "device.wav", "missing.wav")}
    os.mkfifo(folder / "pipe.wav")
    (folder / "folder.wav").mkdir()
    (folder / "broken link.wav").symlink_to("nowhere.wav")
    (folder / "loop.wav").symlink_to("loop.wav")
    (folder / "device.wav").symlink_to("/dev/zero")
    if os.geteuid() != 0:
        (folder / "locked.wav").write_bytes(b"RIFF")
        (folder / "locked.wav").chmod(0)
        found[folder / "locked.wav"] = False
    return found


def make(folder: Path, count: int, seed: int) -> dict[Path, bool | None]:
    """So many files; path -> can it be predicted?  None where either may be."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    found: dict[Path, bool | None] = dict(special(folder))
    while len(found) < count:
        for usable, kinds in ((True, _good(rng)), (False, _bad(rng)), (None, _either(rng))):
            for number, (name, content) in enumerate(kinds.items()):
                stem = STEMS[(len(found) + number) % len(STEMS)]
                path = folder / str(len(found)) / (name if rng.random() < 0.5 else f"{stem}{Path(name).suffix}")
                path.parent.mkdir()
                path.write_bytes(content())
                found[path] = usable
                if len(found) == count:
                    return found
    return found
