"""A source as pieces that fit into memory: the whole file, windows, or stretches of speech."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from sere_core.config.model import Features
from sere_core.features import audio
from sere_core.predict.inputs import Source
from sere_registry import Recording
from sere_registry.errors import error

How = Literal["auto", "none", "windows", "vad"]
Channel = Literal["mix", "left", "right"]

#: voice activity: webrtcvad judges frames of this many samples at 16 kHz (30 ms)
_FRAME = 480
#: speech that pauses for less than this many frames is one stretch; a stretch has at least so many
_PAUSE, _LEAST = 10, 10
#: a file that can be no longer than `max_seconds` is read whole, with all checks of training data
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


def cut(source: Source, cutting: Cutting) -> Iterator[Source]:
    """The pieces of a source, in time order; a source that cannot be opened is one piece, whose reading says why.

    Only the header is read, except for voice activity, which needs one pass over the samples.
    """
    if cutting.how == "none":
        yield source
        return
    try:
        if not source.path.is_file():  # a pipe would wait for ever
            yield source
            return
        with soundfile.SoundFile(source.path) as file:
            begin, end = source.start or 0.0, source.end
            end = min(len(file) / file.samplerate, float("inf") if end is None else end)
            if cutting.how == "vad":
                found = list(_speech(file, begin, end, cutting))
            elif cutting.how == "windows" or end - begin > cutting.longest:
                found = list(_windows(begin, end, cutting))
            else:
                found = []
    except (OSError, soundfile.LibsndfileError, ValueError, RuntimeError):
        found = []
    if not found:
        yield source
    for first, last in found:
        yield replace(source, start=round(first, 3), end=round(last, 3))


def _windows(begin: float, end: float, cutting: Cutting) -> Iterator[tuple[float, float]]:
    """Windows at every hop, the last of which ends where the file does.

    >>> list(_windows(0, 10, Cutting(window=4, hop=4)))
    [(0, 4), (4, 8), (6, 10)]
    """
    count = max(1, math.ceil((end - begin - cutting.window) / cutting.hop - 1e-9) + 1)
    for number in range(count):
        last = min(begin + number * cutting.hop + cutting.window, end)
        yield max(begin, last - cutting.window), last


def _speech(file: soundfile.SoundFile, begin: float, end: float, cutting: Cutting) -> Iterator[tuple[float, float]]:
    """Stretches of speech by webrtcvad (GMMs over band energies), none longer than `longest`.

    Raises:
        SereError: P108 where it is not installed.
    """
    try:
        import webrtcvad
    except ImportError as cause:
        raise error("P108", "--segment vad needs the distribution 'webrtcvad-wheels'", 'pip install "sere[vad]"') from cause
    judge, resample = webrtcvad.Vad(2), soxr.ResampleStream(file.samplerate, audio.SAMPLE_RATE, 1, dtype="int16", quality="MQ")
    file.seek(int(begin * file.samplerate))
    left, flags = int((end - begin) * file.samplerate), list[bool]()
    rest = np.zeros(0, np.int16)
    while left > 0:
        block = file.read(min(left, 10 * file.samplerate), dtype="float32", always_2d=True)
        left = left - len(block) if len(block) else 0
        mono = np.clip(_mono(block, cutting.channel) * 32767, -32768, 32767).astype(np.int16)
        rest = np.concatenate([rest, resample.resample_chunk(mono, last=left <= 0)])
        count = len(rest) // _FRAME
        flags += [judge.is_speech(rest[i * _FRAME : (i + 1) * _FRAME].tobytes(), audio.SAMPLE_RATE) for i in range(count)]
        rest = rest[count * _FRAME :]
    for first, last in _stretches(flags, int(cutting.longest * audio.SAMPLE_RATE / _FRAME)):
        scale = _FRAME / audio.SAMPLE_RATE
        yield begin + first * scale, min(begin + last * scale, end)


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


def load(piece: Source, cutting: Cutting, options: Features) -> tuple[NDArray[np.float32], int]:
    """The samples `[N, channels]` of a piece, and their rate: one channel, or all where they are to be mixed.

    Raises:
        SereError: D603 (unreadable, truncated, a pipe or device), D604 (no samples).
    """
    place = str(piece.path)
    _regular(piece.path)
    if piece.start is None and piece.end is None and os.path.getsize(piece.path) <= _SMALL:
        recording = Recording(piece.path.stem, piece.path, "", "", "")
        samples, rate = audio.decode(audio.load(recording), piece.path)
        return _chosen(samples, cutting.channel), rate
    try:
        with soundfile.SoundFile(piece.path) as file:
            first = int((piece.start or 0.0) * file.samplerate)
            last = len(file) if piece.end is None else int(piece.end * file.samplerate)
            last = min(last, first + int((options.max_seconds + 1) * file.samplerate))
            if first >= len(file):
                raise error("D604", f"the part from {piece.start} s begins after the file's end", place=place)
            file.seek(first)
            samples = file.read(last - first, dtype="float32", always_2d=True)
            if len(samples) < min(last, len(file)) - first:
                raise error("D603", f"truncated: {last - first} samples promised, {len(samples)} decoded", "copy it again", place)
            return _chosen(samples, cutting.channel), file.samplerate
    except (soundfile.LibsndfileError, RuntimeError) as cause:
        raise error("D603", f"cannot be decoded: {str(cause).strip(' .')}", place=place) from cause


def _regular(path: Path) -> None:
    """Only files are opened: a pipe would wait for ever.

    Raises:
        SereError: D603.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as cause:
        raise error("D603", f"cannot be read: {cause.strerror}", place=str(path)) from cause
    if not stat.S_ISREG(mode):
        raise error("D603", "is a folder" if stat.S_ISDIR(mode) else "is no regular file", place=str(path))
    if not os.access(path, os.R_OK):
        raise error("D603", "cannot be read: Permission denied", place=str(path))


def _chosen(samples: NDArray[np.float32], channel: Channel) -> NDArray[np.float32]:
    if channel == "mix" or samples.shape[1] == 1:
        return samples
    return samples[:, :1] if channel == "left" else samples[:, 1:2]


def _mono(samples: NDArray[np.float32], channel: Channel) -> NDArray[np.float32]:
    mono: NDArray[np.float32] = _chosen(samples, channel).mean(axis=1)
    return mono
