"""Recordings -> 16 kHz mono waveforms, with everything that is wrong with a file said in one line."""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from sere_core.config.model import Features
from sere_registry import Recording, error

SAMPLE_RATE = 16_000

#: digital silence: at most this far from zero (-90 dBFS, one least significant bit of 16-bit audio)
SILENCE = 10.0 ** (-90 / 20)

#: seconds by which a part may end after its file (labels are rounded)
_OVERHANG = 0.05

#: suffix -> the container that a file of this name must hold
_CONTAINERS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "Ogg", ".mp3": "MP3", ".avi": "AVI", ".aiff": "AIFF", ".aif": "AIFF"}

#: those that PyAV decodes: of video, of telephones (.m4a) and of browsers (.webm)
BY_PYAV = ("AVI", "MP4", "Matroska", "AAC", "ASF")

#: sizes that writers to a pipe put where they do not know the size
_UNKNOWN_SIZES = (0xFFFFFFFF, 0x7FFFFFFF, 0)


@dataclass(frozen=True)
class Facts:
    """What there is to know of a waveform without its samples.

    Args:
        digest: of the samples: the same audio has the same digest, whatever its file is called.
        seconds: how long it is now.
        trimmed_seconds: digital silence (below -90 dBFS) taken off both ends.
        cut_seconds: taken off the end because the utterance was longer than `max_seconds`.
    """

    digest: str
    seconds: float
    trimmed_seconds: float
    cut_seconds: float


@dataclass(frozen=True)
class Waveform:
    """An utterance's samples, `[N]` float32, 16 kHz, mono, and what was done to make them."""

    samples: NDArray[np.float32]
    facts: Facts


def load(recording: Recording) -> bytes:
    """The bytes of a recording's file.

    Raises:
        SereError: D603.
    """
    try:
        return Path(recording.path).read_bytes()
    except OSError as cause:
        what = "there is no such file" if cause.errno == errno.ENOENT else f"cannot be read: {cause.strerror}"
        raise error("D603", what, place=str(recording.path)) from cause


def read(recording: Recording, options: Features, content: bytes | None = None) -> Waveform:
    """The waveform of a recording: its part of the file, as `waveform` makes it.

    Args:
        content: what `load` gave, if it was called before.

    Raises:
        SereError: D603 (unreadable, truncated, or not what its name says), P108 (an AVI file without PyAV), and what
            `waveform` raises.
    """
    place = str(recording.path)
    channels, rate = decode(load(recording) if content is None else content, Path(recording.path))
    return waveform(_part(channels, rate, recording, place), rate, options, place)


def waveform(channels: NDArray[np.float32], rate: int, options: Features, place: str = "") -> Waveform:
    """Samples `[N, channels]` mixed down to mono, trimmed, cut to `max_seconds`, at 16 kHz.

    Raises:
        SereError: D604 (no samples), D605 (silent), D606 (NaN or infinite samples).
    """
    if not channels.size:
        raise error("D604", "the audio file has no samples", place=place)
    finite = np.isfinite(channels)
    if not finite.all():
        frame, channel = np.argwhere(~finite)[0]
        where = f"{frame / rate:.3f} s" + (f", channel {channel + 1}" if channels.shape[1] > 1 else "")
        value = "NaN" if np.isnan(channels[frame, channel]) else "an infinite value"
        what = f"{int((~finite).sum())} samples are not finite; the first is {value} at {where}"
        raise error("D606", what, place=place)
    mono = channels.mean(axis=1, dtype=np.float32) if channels.shape[1] > 1 else channels[:, 0]
    sounding = np.flatnonzero(np.abs(mono) > SILENCE)
    if not len(sounding):
        cancels = channels.shape[1] > 1 and bool((np.abs(channels) > SILENCE).any())
        hint = "its channels cancel each other when mixed: keep one of them" if cancels else ""
        raise error("D605", f"all {len(mono) / rate:.2f} s are digital silence (below -90 dBFS)", hint, place)
    trimmed = 0
    if options.trim:
        begin, stop = int(sounding[0]), int(sounding[-1]) + 1
        trimmed = len(mono) - (stop - begin)
        mono = mono[begin:stop]
    limit = max(1, round(options.max_seconds * rate))
    cut = max(0, len(mono) - limit)
    mono = mono[:limit]
    samples = mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    if not len(samples):
        raise error("D604", f"the audio file has {len(mono)} samples at {rate} Hz, none at 16 kHz", place=place)
    digest = hashlib.blake2b(samples.astype("<f4", copy=False).tobytes(), digest_size=16).hexdigest()
    return Waveform(samples, Facts(digest, len(samples) / SAMPLE_RATE, trimmed / rate, cut / rate))


def _part(channels: NDArray[np.float32], rate: int, recording: Recording, place: str) -> NDArray[np.float32]:
    """The samples between `start` and `end` of the recording."""
    first, last = span(recording.start, recording.end, len(channels), rate, place)
    return channels[first:last]


def span(start: float | None, end: float | None, frames: int, rate: int, place: str) -> tuple[int, int]:
    """The first sample of a part of a file that has `frames` of them, and the one behind its last.

    Raises:
        SereError: D603 (the part ends behind the file's end), D604 (it is empty, or begins there).
    """
    seconds, start = frames / rate, start or 0.0
    if start >= seconds and seconds > 0:
        raise error("D604", f"the part from {start:.3f} s begins after the file's end at {seconds:.3f} s", place=place)
    if end is not None and end > seconds + _OVERHANG:
        what = f"the part ends at {end:.3f} s, the file already at {seconds:.3f} s"
        raise error("D603", what, "is the file truncated?", place)
    if end is not None and end <= start:
        raise error("D604", f"the part from {start:.3f} s to {end:.3f} s is empty", place=place)
    return round(start * rate), frames if end is None else min(frames, round(end * rate))


def decode(content: bytes, path: Path) -> tuple[NDArray[np.float32], int]:
    """All samples of a file, `[N, channels]`, and its rate.

    Raises:
        SereError: D603 (unreadable, truncated, or not what its name says), P108 (a file that only PyAV decodes, without PyAV).
    """
    place = str(path)
    kind = check(content, path)
    known = kind in _CONTAINERS.values()
    if kind in BY_PYAV:
        return _decode_by_pyav(content, kind, place)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            promised, rate = file.frames, file.samplerate
            channels = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as cause:
        looks = f"a damaged file, or an unsupported kind, of {kind}" if known else f"its bytes look like: {kind}"
        what = f"cannot be decoded; {looks} ({cause.error_string.strip(' .') or 'decoding failed'})"
        raise error("D603", what, place=place) from cause
    if len(channels) < promised and kind != "MP3":  # an MP3's length is an estimate
        what = f"truncated: {promised} samples promised, {len(channels)} decoded"
        raise error("D603", what, "copy it again", place)
    return channels, rate


def check(content: bytes | mmap, path: Path) -> str:
    """What a file is, by its first bytes (see `_container`), if it can be that.

    Raises:
        SereError: D603 (empty, truncated, or not what its name says).
    """
    place = str(path)
    if not content:
        raise error("D603", "the file is empty (0 bytes)", place=place)
    kind = _container(content[:512])
    wanted = _CONTAINERS.get(path.suffix.lower())
    if wanted is not None and kind in _CONTAINERS.values() and kind != wanted:
        what = f"the file is named {path.suffix} but its bytes are {kind}"
        raise error("D603", what, "convert or rename it", place)
    if shortfall := _wav_shortfall(content):
        promised, there = shortfall
        what = f"truncated: the header promises {promised} bytes of samples, there are {there}"
        raise error("D603", what, "copy it again", place)
    return kind


def _decode_by_pyav(content: bytes, kind: str, place: str) -> tuple[NDArray[np.float32], int]:
    """The first audio track of a file of a container that libsndfile does not read."""
    blocks = list(pyav_blocks(io.BytesIO(content), kind, place))
    if not blocks:
        raise error("D604", f"the audio track of the {kind} file has no samples", place=place)
    return np.concatenate([block for block, _ in blocks]), blocks[0][1]


def pyav_blocks(file: io.BytesIO | str, kind: str, place: str) -> Iterator[tuple[NDArray[np.float32], int]]:
    """The first audio track of a file of a container that libsndfile does not read, as blocks `[N, channels]` with their rate.

    Raises:
        SereError: D603, D604 (no audio track), P108 (PyAV is not installed).
    """
    try:
        import av
    except ImportError as cause:
        what = f"reading audio out of {kind} files needs the distribution 'av'"
        raise error("P108", what, 'pip install "sere[avi]"', place) from cause
    try:
        with av.open(file) as container:
            if not container.streams.audio:
                raise error("D604", f"the {kind} file has no audio track", place=place)
            stream = container.streams.audio[0]
            rate = int(stream.rate)
            to_float = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate)
            for frame in itertools.chain(container.decode(stream), [None]):
                for piece in to_float.resample(frame):
                    yield np.ascontiguousarray(piece.to_ndarray().T, dtype=np.float32), rate
    except av.error.FFmpegError as cause:
        raise error("D603", f"its {kind} content cannot be decoded ({cause.strerror})", place=place) from cause


def _container(head: bytes) -> str:
    """A container's name ("WAV", "FLAC", "MP3", ...) or a description of what else a file's first bytes are."""
    is_mp3 = len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 == 0x02
    for name, found in (
        ("WAV", head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE"),
        ("AVI", head[:4] == b"RIFF" and head[8:11] == b"AVI"),
        ("FLAC", head[:4] == b"fLaC"),
        ("Ogg", head[:4] == b"OggS"),
        ("AIFF", head[:4] == b"FORM" and head[8:11] == b"AIF"),
        ("MP3", head[:3] == b"ID3" or is_mp3),
        ("MP4", head[4:8] == b"ftyp"),
        ("AAC", len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0),
        ("ASF", head[:4] == b"\x30\x26\xb2\x75"),
        ("Matroska", head[:4] == b"\x1aE\xdf\xa3"),
        ("NIST Sphere", head[:7] == b"NIST_1A"),
        ("a Git LFS pointer (the audio itself was not downloaded)", head.startswith(b"version https://git-lfs")),
        ("an HTML page (a failed download?)", head.lstrip().lower().startswith((b"<!doctype", b"<html"))),
        ("a ZIP archive", head[:4] == b"PK\x03\x04"),
        ("zeros only", not any(head)),
        ("text", all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head)),
    ):
        if found:
            return name
    return "bytes of no known audio format"


def _wav_shortfall(content: bytes | mmap) -> tuple[int, int] | None:
    """The bytes of samples that a RIFF/WAVE header promises and those there are, if there are fewer; else None.

    libsndfile silently reads what is left of a truncated file, so this is checked before it is called.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return None
    at = 12
    while at + 8 <= len(content):
        name, length = struct.unpack_from("<4sI", content, at)
        if name == b"data":
            there = len(content) - at - 8
            return (length, there) if length not in _UNKNOWN_SIZES and there < length else None
        at += 8 + length + (length & 1)
    return None
