"""A source as parts that fit into memory: the whole file, windows, or stretches of speech."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import soxr

from sere_core.features import audio
from sere_core.features.decoding import ENDLESS, AudioFile, Samples, opened
from sere_core.features.plausible import check_rate
from sere_core.predict.inputs import Source
from sere_registry.errors import SereError, error, reason

if TYPE_CHECKING:
    from sere_core.config.model import Features
    from sere_core.model import Clip, Model

How = Literal["auto", "none", "windows", "vad"]
Channel = Literal["mix", "left", "right"]

#: voice activity: webrtcvad judges frames of this many samples at 16 kHz (30 ms)
_FRAME = 480
#: speech that pauses for less than this many frames is one stretch; a stretch has at least so many
_PAUSE, _LEAST = 10, 10


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
        read: makes its waveform, or raises the SereError that says what is wrong.
        windowed: is it a window of a file that is longer than the model takes?
    """

    source: Source
    read: Callable[[Features], audio.Waveform]
    windowed: bool = False


def cut(source: Source, cutting: Cutting) -> Iterator[Part]:
    """The parts of a source, in time order; what is wrong with it is the last one, behind those that could be read.

    Short files are read when their part is, so that threads can do that; long ones here, in one pass and block by block, since
    MP3 and what PyAV reads know no places.  So memory is bounded by the window, and a header that lies costs one part.
    """
    problems: list[SereError] = []
    stop = source.start or 0.0
    try:
        for part in _cut(source, cutting, problems):
            stop = part.source.end or stop
            yield part
    except Exception as cause:  # whatever a file makes a decoder do
        problems.append(_problem(cause, source))
    if problems:
        problem = problems[0]

        def read(options: Features) -> audio.Waveform:
            raise problem

        yield Part(replace(source, start=stop) if stop > (source.start or 0.0) else source, read)


def _cut(source: Source, cutting: Cutting, problems: list[SereError]) -> Iterator[Part]:
    with opened(source.path) as file:
        check_rate(file.rate, str(source.path))  # before a wrong one makes thousands of windows
        frames = file.frames if file.frames is not None else ENDLESS
        first, last = audio.span(source.start, source.end, frames if file.certain else ENDLESS, file.rate, str(source.path))
        seconds = (min(last, frames) - first) / file.rate
        if cutting.how == "none" or (cutting.how == "auto" and seconds <= cutting.longest):
            yield Part(source, lambda options: audio.read(source, options))
        else:
            yield from _streamed(source, cutting, file, file.blocks(first, ENDLESS if source.end is None else last), problems)


def _streamed(source: Source, cutting: Cutting, file: AudioFile, blocks: Iterator[Samples], problems: list[SereError]) -> Iterator[Part]:
    """Parts of blocks as they come; what ends the blocks too early is put among the problems."""

    def given() -> Iterator[Samples]:
        try:
            yield from blocks
        except Exception as cause:
            problems.append(_problem(cause, source))

    stream, head, rate = given(), list[Samples](), file.rate
    if cutting.how == "auto":
        limit = cutting.longest * rate
        while sum(map(len, head)) <= limit and (block := next(stream, None)) is not None:
            head.append(block)
        if sum(map(len, head)) <= limit:
            if head and not problems:
                yield Part(source, _reader(np.concatenate(head), file, source))
            return
        stream = itertools.chain(head, stream)  # type: ignore[assignment]
    found = False
    for first, samples in _speech(stream, rate, cutting) if cutting.how == "vad" else _windows(stream, rate, cutting):
        found = True
        begin = (source.start or 0.0) + first / rate
        part = replace(source, start=round(begin, 3), end=round(begin + len(samples) / rate, 3))
        yield Part(part, _reader(samples, file, source), windowed=cutting.how == "auto")
    if not found and not problems:
        what = "no speech was found" if cutting.how == "vad" else "the audio file has no samples"
        raise error("D605" if cutting.how == "vad" else "D604", what, place=str(source.path))


def _reader(samples: Samples, file: AudioFile, source: Source) -> Callable[[Features], audio.Waveform]:
    return lambda options: audio.waveform(samples, file.rate, options, str(source.path), file.full_scale, file.remark)


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
        mono = (np.clip(np.nan_to_num(audio.chosen(block, cutting.channel).mean(axis=1)), -1, 1) * 32767).astype(np.int16)
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


def hear(model: Model, part: Part, cutting: Cutting) -> tuple[Clip | SereError, bool]:
    """The features of a part, or what is wrong with it; and is it longer than the model takes, so that its end is not heard?"""
    source = part.source
    try:
        waveform = part.read(model.resolved.config.features.model_copy(update={"channel": cutting.channel}))
        clip = model.clip(waveform, language=source.language, place=str(source.path))
        return clip, waveform.facts.cut_seconds > 1e-4
    except Exception as cause:  # whatever a file makes a decoder do
        return _problem(cause, source), False


def _problem(cause: Exception, source: Source) -> SereError:
    if isinstance(cause, SereError):
        return cause
    return error("D603", f"cannot be read: {reason(cause)}", place=str(source.path))
