"""Recordings -> 16 kHz mono waveforms, with everything that is wrong with a file said in one line."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import soxr
from numpy.typing import NDArray

from sere_core.config.model import Features
from sere_core.features.decoding import ENDLESS, AudioFile, Samples, opened
from sere_core.features.plausible import SILENCE, Measures
from sere_registry import SereError, error

SAMPLE_RATE = 16_000

#: seconds by which a part may end after its file (labels are rounded)
_OVERHANG = 0.05


@dataclass(frozen=True)
class Facts:
    """What there is to know of a waveform without its samples.

    Args:
        digest: of the samples: the same audio has the same digest, whatever its file is called.
        seconds: how long it is now.
        trimmed_seconds: digital silence (below -90 dBFS) taken off both ends.
        cut_seconds: taken off the end because the utterance was longer than `max_seconds`.
        channels, rate: of the file.
        remarks: what is odd about it, each as `kind: detail`.
    """

    digest: str
    seconds: float
    trimmed_seconds: float
    cut_seconds: float
    channels: int = 1
    rate: int = SAMPLE_RATE
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Waveform:
    """An utterance's samples, `[N]` float32, 16 kHz, mono, and what was done to make them."""

    samples: NDArray[np.float32]
    facts: Facts


class Piece(Protocol):
    """A file, or a part of one."""

    @property
    def path(self) -> Path: ...
    @property
    def start(self) -> float | None: ...
    @property
    def end(self) -> float | None: ...


P = TypeVar("P", bound=Piece)


def read(recording: Piece, options: Features) -> Waveform:
    """The waveform of a recording: its part of the file, as `waveform` makes it.

    Raises:
        SereError: D603 (unreadable, truncated, or not what its name says), P108 (an AVI file without PyAV), and what
            `waveform` raises.
    """
    ((_, found),) = read_parts([recording], options)
    if isinstance(found, SereError):
        raise found
    return found


def read_parts(recordings: Sequence[P], options: Features) -> Iterator[tuple[P, Waveform | SereError]]:
    """The waveforms of parts of one file, which is decoded once, or what is wrong with them; in the order of their ends.

    Memory holds a second of the file, and of each part that is being read what `max_seconds` leaves of it.
    """
    waiting = deque(sorted(recordings, key=lambda each: each.start or 0.0))
    active: list[_Part[P]] = []
    if not waiting:
        return
    try:
        with opened(waiting[0].path) as file:
            for part in _parts(file, waiting, active, options):
                yield part.recording, part.result()
    except SereError as problem:
        yield from ((each, problem) for each in (*(part.recording for part in active), *waiting))


class _Part(Generic[P]):
    """A part of a file that is being read."""

    def __init__(self, recording: P, file: AudioFile, options: Features) -> None:
        self.recording, self._file, self._place = recording, file, str(recording.path)
        self._waveform = _Assembly(file.rate, options, self._place, file.full_scale, file.remark)
        self.first, self.last = 0, ENDLESS
        self._problem: SereError | None = None
        self.bound(file.frames if file.certain and file.frames else ENDLESS)

    def bound(self, frames: int) -> None:
        """The file has so many."""
        try:
            self.first, last = span(self.recording.start, self.recording.end, frames, self._file.rate, self._place)
            self.last = ENDLESS if self.recording.end is None else last  # a file may be longer than it says
        except SereError as problem:
            self._problem, self.last = problem, self.first

    def add(self, at: int, block: Samples) -> None:
        part = block[max(0, self.first - at) : max(0, self.last - at)]
        if len(part):
            self._waveform.add(part)

    def result(self) -> Waveform | SereError:
        try:
            return self._problem or self._waveform.done()
        except SereError as problem:
            return problem


def _parts(file: AudioFile, waiting: deque[P], active: list[_Part[P]], options: Features) -> Iterator[_Part[P]]:
    """Parts as they end; those that have begun are in `active`, the others in `waiting`."""
    at, blocks = 0, file.blocks()
    while waiting or active:
        if not active and file.seekable:
            first = round((waiting[0].start or 0.0) * file.rate)
            if file.frames is not None and at < first < file.frames:
                at, blocks = first, file.blocks(first)
        if (block := next(blocks, None)) is None:
            break
        while waiting and round((waiting[0].start or 0.0) * file.rate) < at + len(block):
            active.append(_Part(waiting[0], file, options))
            waiting.popleft()
        for part in [*active]:
            part.add(at, block)
            if part.last <= at + len(block):
                active.remove(part)
                yield part
        at += len(block)
    active += [_Part(each, file, options) for each in waiting]
    waiting.clear()
    for part in [*active]:
        part.bound(at)
        active.remove(part)
        yield part


def waveform(channels: Samples, rate: int, options: Features, place: str = "", full_scale: float = 1.0, remark: str = "") -> Waveform:
    """Samples `[N, channels]` mixed down to mono, trimmed, cut to `max_seconds`, at 16 kHz.

    Raises:
        SereError: D603 (no rate of speech), D604 (no samples), D605 (silent), D606 (NaN, infinite, or of another scale), D612
            (too short).
    """
    assembly = _Assembly(rate, options, place, full_scale, remark)
    if channels.size:
        assembly.add(channels)
    return assembly.done()


class _Assembly:
    """A waveform that is put together of blocks: no more of it is kept than comes out."""

    def __init__(self, rate: int, options: Features, place: str, full_scale: float, remark: str = "") -> None:
        self._rate, self._options, self._place, self._remark = rate, options, place, remark
        self._measures = Measures(rate, full_scale, place)
        self._limit = max(1, round(options.max_seconds * rate))
        self._held: list[NDArray[np.float32]] = []
        self._count = self._kept = self._channels = 0
        self._begin = self._stop = -1  # of what sounds

    def add(self, block: Samples) -> None:
        """One more, `[N, channels]`."""
        self._channels = block.shape[1]
        channels = chosen(block, self._options.channel)
        mono = channels.mean(axis=1, dtype=np.float32) if channels.shape[1] > 1 else channels[:, 0]
        self._measures.add(channels, mono)
        sounding = np.flatnonzero(np.abs(mono) > SILENCE)
        if len(sounding):
            self._begin = self._count + int(sounding[0]) if self._begin < 0 else self._begin
            self._stop = self._count + int(sounding[-1]) + 1
        first = 0 if not self._options.trim else len(mono) if self._begin < 0 else max(0, self._begin - self._count)
        if len(kept := mono[first : first + self._limit - self._kept]):
            self._held.append(kept.copy())
            self._kept += len(kept)
        self._count += len(mono)

    def done(self) -> Waveform:
        """
        Raises:
            SereError: see `waveform`.
        """
        length = self._stop - self._begin if self._options.trim else self._count
        mono = np.concatenate(self._held)[:length] if self._held else np.zeros(0, np.float32)
        self._measures.refuse(length, mono)
        samples = mono if self._rate == SAMPLE_RATE else soxr.resample(mono, self._rate, SAMPLE_RATE, quality="HQ")
        samples = np.ascontiguousarray(samples, dtype=np.float32)
        digest = hashlib.blake2b(samples.astype("<f4", copy=False).tobytes(), digest_size=16).hexdigest()
        facts = Facts(
            digest,
            seconds=len(samples) / SAMPLE_RATE,
            trimmed_seconds=(self._count - length) / self._rate,
            cut_seconds=max(0, length - self._limit) / self._rate,
            channels=self._channels,
            rate=self._rate,
            remarks=(*([self._remark] if self._remark else []), *self._measures.remarks(mono)),
        )
        return Waveform(samples, facts)


def chosen(samples: Samples, channel: str) -> Samples:
    """One channel of `[N, channels]`, or all that are to be mixed."""
    if channel == "mix" or samples.shape[1] == 1:
        return samples
    return samples[:, :1] if channel == "left" else samples[:, 1:2]


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
