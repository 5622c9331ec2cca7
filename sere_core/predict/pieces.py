"""A source as parts that fit into memory: the whole file, windows, or stretches of speech."""

from __future__ import annotations

import importlib.util
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator
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
Samples = NDArray[np.float32]

#: voice activity: webrtcvad judges frames of this many samples at 16 kHz (30 ms)
_FRAME = 480
#: speech that pauses for less than this many frames is one stretch; a stretch has at least so many
_PAUSE, _LEAST = 10, 10
#: seconds that a part must have
_SHORTEST = 0.05
#: seconds: a file or part up to this length is read at once, longer ones block by block
_WHOLE = 60.0
#: seconds of a block
_BLOCK = 1.0
#: bytes of the largest file that is read at once, whatever it is
_LARGEST = 1 << 28
#: samples of a stream whose length is not known
_ENDLESS = 1 << 62


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


@dataclass(frozen=True)
class Part:
    """What becomes a row.

    Args:
        source: which part of which file.
        read: gives its samples `[N, channels]` and their rate, or raises the SereError that says what is wrong.
        windowed: is it a window of a file that is longer than the model takes?
    """

    source: Source
    read: Callable[[], tuple[Samples, int]]
    windowed: bool = False


def cut(source: Source, cutting: Cutting) -> Iterator[Part]:
    """The parts of a source, in time order; what is wrong with it is the last one, behind those that could be read.

    Short files are read when their part is, so that threads can do that; long ones here, in one pass and block by block, since
    MP3 and what PyAV reads know no places.  So memory is bounded by the window, and a header that lies costs one part.
    """
    problems: list[SereError] = []
    stop = source.start or 0.0
    try:
        kind = _check(source.path)
        for part in _cut(source, cutting, kind, problems):
            stop = part.source.end or stop
            yield part
    except Exception as cause:  # whatever a file makes a decoder do
        problems.append(_problem(cause, source))
    if problems:
        problem = problems[0]

        def read() -> tuple[Samples, int]:
            raise problem

        yield Part(replace(source, start=stop) if stop > (source.start or 0.0) else source, read)


def _cut(source: Source, cutting: Cutting, kind: str, problems: list[SereError]) -> Iterator[Part]:
    place = str(source.path)
    if kind in audio.BY_PYAV:
        stream = audio.pyav_blocks(place, kind, place)
        if (head := next(stream, None)) is None:
            raise error("D604", f"the audio track of the {kind} file has no samples", place=place)
        rate = head[1]
        first, last = audio.span(source.start, source.end, _ENDLESS, rate, place)
        blocks = itertools.chain([head[0]], (block for block, _ in stream))
        yield from _streamed(source, cutting, rate, _between(blocks, first, last), problems)
        return
    try:
        file = soundfile.SoundFile(os.fsencode(source.path))
    except soundfile.LibsndfileError:
        yield Part(source, lambda: _whole(source, cutting.channel))  # which says what is wrong
        return
    with file:
        first, last = audio.span(source.start, source.end, len(file), file.samplerate, place)
        seconds = (last - first) / file.samplerate
        if cutting.how in ("auto", "none") and seconds <= (cutting.longest if cutting.how == "auto" else _WHOLE):
            read = _whole if source.start is None and source.end is None else _span
            yield Part(source, lambda: read(source, cutting.channel))
        else:
            yield from _streamed(source, cutting, file.samplerate, _blocks(file, place, first, last), problems)


def _streamed(source: Source, cutting: Cutting, rate: int, blocks: Iterator[Samples], problems: list[SereError]) -> Iterator[Part]:
    """Parts of blocks as they come; what ends the blocks too early is put among the problems."""

    def given() -> Iterator[Samples]:
        try:
            for block in blocks:
                yield _chosen(block, cutting.channel)
        except Exception as cause:
            problems.append(_problem(cause, source))

    stream, head = given(), list[Samples]()
    if cutting.how in ("auto", "none"):
        limit = (cutting.longest + (_BLOCK if cutting.how == "none" else 0)) * rate
        while sum(map(len, head)) <= limit and (block := next(stream, None)) is not None:
            head.append(block)
        if cutting.how == "none" or sum(map(len, head)) <= limit:
            if head and not problems:
                samples = np.concatenate(head)
                yield Part(source, lambda: (samples, rate))
            return
        stream = itertools.chain(head, stream)  # type: ignore[assignment]
    found = False
    for first, samples in _speech(stream, rate, cutting) if cutting.how == "vad" else _windows(stream, rate, cutting):
        found = True
        yield _placed(source, first, samples, rate, cutting.how == "auto")
    if not found and not problems:
        what = "no speech was found" if cutting.how == "vad" else "the audio file has no samples"
        raise error("D605" if cutting.how == "vad" else "D604", what, place=str(source.path))


def _placed(source: Source, first: int, samples: Samples, rate: int, windowed: bool) -> Part:
    begin = (source.start or 0.0) + first / rate
    part = replace(source, start=round(begin, 3), end=round(begin + len(samples) / rate, 3))
    return Part(part, lambda: (samples, rate), windowed)


def needs(cutting: Cutting) -> None:
    """Is what this way of cutting takes installed?

    Raises:
        SereError: P108.
    """
    if cutting.how == "vad" and importlib.util.find_spec("webrtcvad") is None:
        raise error("P108", "--segment vad needs the distribution 'webrtcvad-wheels'", 'pip install "sere[vad]"')


def _windows(blocks: Iterable[Samples], rate: int, cutting: Cutting) -> Iterator[tuple[int, Samples]]:
    """Windows at every hop, with their first sample; the last one ends where the stream does, and is as long as the others.

    >>> cutting = Cutting(window=4, hop=4)
    >>> [(first, len(each)) for first, each in _windows([np.zeros((5, 1)), np.zeros((5, 1))], 1, cutting)]
    [(0, 4), (4, 4), (6, 4)]
    """
    window, hop = max(1, round(cutting.window * rate)), max(1, round(cutting.hop * rate))
    held, offset, following, covered = np.zeros((0, 1), np.float32), 0, 0, 0
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        while following + window <= offset + len(held):
            yield following, held[following - offset : following - offset + window].copy()
            following, covered = following + hop, following + window
        keep = max(0, min(following, offset + len(held) - window) - offset)
        held, offset = held[keep:], offset + keep
    if offset + len(held) > covered:
        first = max(0, offset + len(held) - window)
        yield first, held[first - offset :].copy()


def _speech(blocks: Iterable[Samples], rate: int, cutting: Cutting) -> Iterator[tuple[int, Samples]]:
    """Stretches of speech by webrtcvad (GMMs over band energies), none longer than `longest`, with their first sample.

    Pauses of at most `_PAUSE` frames are bridged.
    """
    import webrtcvad

    judge, rest = webrtcvad.Vad(2), np.zeros(0, np.int16)
    resample = soxr.ResampleStream(rate, audio.SAMPLE_RATE, 1, dtype="int16", quality="MQ")
    scale, limit = rate * _FRAME / audio.SAMPLE_RATE, int(cutting.longest * audio.SAMPLE_RATE / _FRAME)
    held, offset = np.zeros((0, 1), np.float32), 0
    first, quiet, index = -1, 0, 0
    for block, last in _with_last(blocks):
        held = np.concatenate([held, block]) if len(held) else block
        mono = (np.clip(np.nan_to_num(block.mean(axis=1)), -1, 1) * 32767).astype(np.int16)
        rest = np.concatenate([rest, resample.resample_chunk(mono, last=last)])
        frames = [judge.is_speech(rest[at : at + _FRAME].tobytes(), audio.SAMPLE_RATE) for at in range(0, len(rest) - _FRAME + 1, _FRAME)]
        rest = rest[len(frames) * _FRAME :]
        for speech in [*frames, *([False] * (_PAUSE + 1) if last else [])]:
            first = index if speech and first < 0 else first
            quiet, index = 0 if speech else quiet + 1, index + 1
            if first >= 0 and (quiet > _PAUSE or index - first >= limit):
                if index - quiet - first >= _LEAST:
                    low, high = round(first * scale) - offset, round((index - quiet) * scale) - offset
                    yield low + offset, held[low:high].copy()
                first = -1
        keep = max(0, min(len(held), round((index if first < 0 else first) * scale) - offset))
        held, offset = held[keep:], offset + keep


def _with_last(blocks: Iterable[Samples]) -> Iterator[tuple[Samples, bool]]:
    """Each block, and is it the last one?"""
    waiting = None
    for block in blocks:
        if waiting is not None:
            yield waiting, False
        waiting = block
    if waiting is not None:
        yield waiting, True


def _blocks(file: soundfile.SoundFile, place: str, first: int, last: int) -> Iterator[Samples]:
    """The samples between two places, a second at a time.

    Raises:
        SereError: D603 where a truncated or damaged file ends.
    """
    if first:
        file.seek(first)
    left, size = last - first, max(1, min(int(_BLOCK * file.samplerate), (1 << 22) // file.channels))
    while left > 0:
        block = file.read(min(size, left), dtype="float32", always_2d=True)
        if not len(block):
            if file.format == "MP3":  # an MP3's length is an estimate
                return
            raise error(
                "D603",
                f"truncated: {last - first} samples promised, {last - first - left} decoded",
                "copy it again",
                place,
            )
        left -= len(block)
        yield block


def _between(blocks: Iterable[Samples], first: int, last: int) -> Iterator[Samples]:
    """The samples between two places of a stream."""
    at = 0
    for block in blocks:
        part = block[max(0, first - at) : max(0, last - at)]
        at += len(block)
        if len(part):
            yield part
        if at >= last:
            return


def hear(model: Model, part: Part, cutting: Cutting) -> tuple[Clip | SereError, bool]:
    """The features of a part, or what is wrong with it; and is it longer than the model takes, so that its end is not heard?"""
    source = part.source
    try:
        samples, rate = part.read()
        if len(samples) < _SHORTEST * rate:
            raise error(
                "D612",
                f"{len(samples)} samples at {rate} Hz are too short to be speech",
                place=str(source.path),
            )
        clip = model.extract(samples, rate, language=source.language, place=str(source.path))
        return clip, len(samples) > cutting.longest * rate + 1
    except Exception as cause:  # whatever a file makes a decoder do
        return _problem(cause, source), False


def _whole(source: Source, channel: Channel) -> tuple[Samples, int]:
    """All of a short file, read as it is for training.

    Raises:
        SereError: D603 (unreadable, truncated).
    """
    if (size := os.path.getsize(source.path)) > _LARGEST:
        raise error("D603", f"{size} bytes, and no audio format that is known here", place=str(source.path))
    samples, rate = audio.decode(source.path.read_bytes(), source.path)
    return _chosen(samples, channel), rate


def _span(source: Source, channel: Channel) -> tuple[Samples, int]:
    """A short part of a file.

    Raises:
        SereError: D603 (truncated), D604 (no samples).
    """
    place = str(source.path)
    with soundfile.SoundFile(os.fsencode(source.path)) as file:
        first, last = audio.span(source.start, source.end, len(file), file.samplerate, place)
        blocks = list(_blocks(file, place, first, last))
        if not blocks:
            raise error("D604", "the part has no samples", place=place)
        return _chosen(np.concatenate(blocks), channel), file.samplerate


def _check(path: Path) -> str:
    """What a file is by its first bytes, if it can be that.  Only files are opened: a pipe would wait for ever.

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
            return audio.check(content, path)
    except OSError as cause:
        raise error("D603", f"cannot be read: {cause.strerror}", place=place) from cause


def _chosen(samples: Samples, channel: Channel) -> Samples:
    if channel == "mix" or samples.shape[1] == 1:
        return samples
    return samples[:, :1] if channel == "left" else samples[:, 1:2]


def _problem(cause: Exception, source: Source) -> SereError:
    if isinstance(cause, SereError):
        return cause
    return error("D603", f"cannot be read: {reason(cause)}", place=str(source.path))
