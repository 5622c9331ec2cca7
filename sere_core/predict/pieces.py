"""A source as pieces that fit into memory: the whole file, windows, or stretches of speech."""

from __future__ import annotations

import importlib.util
import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from sere_core.features import audio
from sere_core.predict.inputs import Source
from sere_registry.errors import SereError, error, reason

if TYPE_CHECKING:
    from sere_core.model import Clip, Model

How = Literal["auto", "none", "windows", "vad"]
Channel = Literal["mix", "left", "right"]

#: voice activity: webrtcvad judges frames of this many samples at 16 kHz (30 ms)
_FRAME = 480
#: speech that pauses for less than this many frames is one stretch; a stretch has at least so many
_PAUSE, _LEAST = 10, 10
#: bytes: of a file up to this size everything is read as it is for training, of others at most so many samples of a part
_SMALL = 64 << 20


@dataclass(frozen=True)
class Cutting:
    """How long files are cut.

    Args:
        how: "none" reads what fits into `longest` and leaves the rest; "auto" windows only what is longer; "windows"; "vad".
        window, hop: seconds.
        longest: seconds, the model's.
        channel: of files with more than one.
    """

    how: How = "auto"
    window: float = 4.0
    hop: float = 4.0
    longest: float = 20.0
    channel: Channel = "mix"


def cut(source: Source, cutting: Cutting) -> list[Source] | SereError:
    """The pieces of a source, in time order, or what is wrong with it.

    Only the header is read, except for voice activity, which needs one pass over the samples.
    """
    try:
        _check(source.path)
        return [source] if cutting.how == "none" else _cut(source, cutting)
    except Exception as cause:  # whatever a file makes a decoder do
        return _problem(cause, source)


def _cut(source: Source, cutting: Cutting) -> list[Source]:
    try:
        file = soundfile.SoundFile(source.path)
    except soundfile.LibsndfileError:
        return [source]  # of a kind that is read in another way, or reading it says what is wrong
    with file:
        first, last = audio.span(source.start, source.end, len(file), file.samplerate, str(source.path))
        begin, end = first / file.samplerate, last / file.samplerate
        if cutting.how == "vad":
            found = list(_speech(file, first, last, cutting))
            if not found:
                raise error("D605", f"no speech was found in {end - begin:.1f} s", place=str(source.path))
        elif cutting.how == "windows" or end - begin > cutting.longest:
            found = list(_windows(begin, end, cutting))
        else:
            return [source]
    return [replace(source, start=round(begin, 3), end=round(end, 3)) for begin, end in found]


def needs(cutting: Cutting) -> None:
    """Is what this way of cutting takes installed?

    Raises:
        SereError: P108.
    """
    if cutting.how == "vad" and importlib.util.find_spec("webrtcvad") is None:
        raise error("P108", "--segment vad needs the distribution 'webrtcvad-wheels'", 'pip install "sere[vad]"')


def _windows(begin: float, end: float, cutting: Cutting) -> Iterator[tuple[float, float]]:
    """Windows at every hop, the last of which ends where the file does.

    >>> list(_windows(0, 10, Cutting(window=4, hop=4)))
    [(0, 4), (4, 8), (6, 10)]
    """
    count = max(1, math.ceil((end - begin - cutting.window) / cutting.hop - 1e-9) + 1)
    for number in range(count):
        last = min(begin + number * cutting.hop + cutting.window, end)
        yield max(begin, last - cutting.window), last


def _speech(file: soundfile.SoundFile, first: int, last: int, cutting: Cutting) -> Iterator[tuple[float, float]]:
    """Stretches of speech between two samples by webrtcvad (GMMs over band energies), none longer than `longest`."""
    import webrtcvad

    judge, resample = webrtcvad.Vad(2), soxr.ResampleStream(file.samplerate, audio.SAMPLE_RATE, 1, dtype="int16", quality="MQ")
    file.seek(first)
    left, flags, rest = last - first, list[bool](), np.zeros(0, np.int16)
    while left > 0:
        block = file.read(min(left, 10 * file.samplerate), dtype="float32", always_2d=True)
        left = left - len(block) if len(block) else 0
        mono = np.nan_to_num(_chosen(block, cutting.channel).mean(axis=1))
        samples = (np.clip(mono, -1, 1) * 32767).astype(np.int16)
        rest = np.concatenate([rest, resample.resample_chunk(samples, last=left <= 0)])
        count = len(rest) // _FRAME
        flags += [judge.is_speech(frame.tobytes(), audio.SAMPLE_RATE) for frame in rest[: count * _FRAME].reshape(count, _FRAME)]
        rest = rest[count * _FRAME :]
    scale, begin, end = _FRAME / audio.SAMPLE_RATE, first / file.samplerate, last / file.samplerate
    for start, stop in _stretches(flags, int(cutting.longest / scale)):
        yield begin + start * scale, min(begin + stop * scale, end)


def _stretches(flags: list[bool], longest: int) -> Iterator[tuple[int, int]]:
    """Where flags are true, short pauses bridged: [first, last) in frames.

    >>> list(_stretches([False] * 5 + [True] * 20 + [False] * 3 + [True] * 10 + [False] * 30, 100))
    [(5, 38)]
    """
    first, quiet = -1, 0
    for index, speech in enumerate([*flags, *[False] * (_PAUSE + 1)]):
        if speech and first < 0:
            first = index
        quiet = 0 if speech else quiet + 1
        over = first >= 0 and (quiet > _PAUSE or index + 1 - first >= longest)
        if over:
            last = index + 1 - quiet
            if last - first >= _LEAST:
                yield first, last
            first = -1


def hear(model: Model, piece: Source, cutting: Cutting) -> tuple[Clip | SereError, bool]:
    """The features of a piece, or what is wrong with it; and is it longer than the model takes, so that its end is not heard?"""
    try:
        samples, rate = load(piece, cutting)
        clip = model.extract(samples, rate, language=piece.language, place=str(piece.path))
        return clip, len(samples) > cutting.longest * rate + 1
    except Exception as cause:  # whatever a file makes a decoder do
        return _problem(cause, piece), False


def load(piece: Source, cutting: Cutting) -> tuple[NDArray[np.float32], int]:
    """The samples `[N, channels]` of a piece, and their rate: one channel, or all where they are to be mixed.

    Raises:
        SereError: D603 (unreadable, truncated, a pipe or device), D604 (no samples), P108 (a file that only PyAV decodes, without PyAV).
    """
    place = str(piece.path)
    if piece.start is None and piece.end is None and os.path.getsize(piece.path) <= _SMALL:
        samples, rate = audio.decode(piece.path.read_bytes(), piece.path)
        return _chosen(samples, cutting.channel), rate
    try:
        with soundfile.SoundFile(piece.path) as file:
            first, last = audio.span(piece.start, piece.end, len(file), file.samplerate, place)
            last = min(last, first + _SMALL // (4 * file.channels))
            file.seek(first)
            samples = file.read(last - first, dtype="float32", always_2d=True)
            if len(samples) < last - first and file.format != "MP3":  # an MP3's length is an estimate
                raise error("D603", f"truncated: {last - first} samples promised, {len(samples)} decoded", "copy it again", place)
            return _chosen(samples, cutting.channel), file.samplerate
    except (soundfile.LibsndfileError, RuntimeError) as cause:
        raise error("D603", f"cannot be decoded: {str(cause).strip(' .')}", place=place) from cause


def _check(path: Path) -> None:
    """Is it a file that can be what its name says?  Only files are opened: a pipe would wait for ever.

    Raises:
        SereError: D603.
    """
    place = str(path)
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise error("D603", "is a folder" if stat.S_ISDIR(mode) else "is no regular file", place=place)
        with open(path, "rb") as file:
            content = mmap(file.fileno(), 0, access=ACCESS_READ) if os.fstat(file.fileno()).st_size else b""
            audio.check(content, path)
    except OSError as cause:
        raise error("D603", f"cannot be read: {cause.strerror}", place=place) from cause


def _chosen(samples: NDArray[np.float32], channel: Channel) -> NDArray[np.float32]:
    if channel == "mix" or samples.shape[1] == 1:
        return samples
    return samples[:, :1] if channel == "left" else samples[:, 1:2]


def _problem(cause: Exception, source: Source) -> SereError:
    if isinstance(cause, SereError):
        return cause
    return error("D603", f"cannot be read: {reason(cause)}", place=str(source.path))
