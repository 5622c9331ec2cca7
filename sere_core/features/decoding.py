"""Audio files as blocks of samples: what libsndfile and PyAV decode, and every way in which that fails as one line."""

from __future__ import annotations

import io
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from sere_core.features.containers import BY_PYAV, KINDS, Container, examine
from sere_registry.errors import SereError, error, reason

Samples = NDArray[np.float32]

#: samples of a stream whose length is not known
ENDLESS = 1 << 62
#: samples of a block, over all channels
_LARGEST = 1 << 22
#: formats and encodings of libsndfile in which a sample is found again by its number
_EXACT = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")


class AudioFile:
    """A file whose samples are read in order, or from a place on.

    Attributes:
        rate: in Hz.
        frames: how many it says that there are; None where it does not say.
        certain: `frames` is no estimate.
        seekable: is it quick to read from any place on, with the same samples?
        full_scale: what an undamaged file does not exceed by much; the decoders of lossy codecs overshoot.
        remark: what its user should know of the container.
    """

    def __init__(self, path: Path, container: Container) -> None:
        self._path, self._place, self._kind, self.remark = path, str(path), container.kind, container.remark
        self.frames: int | None = None
        self.certain = self.seekable = False
        self.full_scale = 2.0
        self._file: soundfile.SoundFile | None = None
        if container.kind in BY_PYAV:
            stream = pyav_blocks(str(path), container.kind, self._place)
            head = next(stream, None)
            if head is None:
                raise error("D604", f"the audio track of the {container.kind} file has no samples", place=self._place)
            self.rate, self._stream = head[1], itertools.chain([head[0]], (block for block, _ in stream))
            return
        try:
            self._seen = _Seen(path, container) if container.patch or container.start else None
            file = soundfile.SoundFile(self._seen or os.fsencode(path))
        except soundfile.LibsndfileError as cause:
            known = container.kind in KINDS
            looks = f"a damaged file, or an unsupported kind, of {container.kind}" if known else f"its bytes look like: {container.kind}"
            what = f"cannot be decoded; {looks} ({cause.error_string.strip(' .') or 'decoding failed'})"
            raise error("D603", what, place=self._place) from cause
        self._file, self.rate = file, file.samplerate
        self.frames = container.frames or (file.frames if file.frames < 1 << 48 else None)
        self.certain = self.frames is not None and file.format != "MP3"
        plain = file.subtype.startswith(_EXACT)
        self.seekable = file.seekable() and self.certain and (plain or file.format == "FLAC")
        file.seekable = lambda: False  # else it seeks behind each block: MP3 then begins anew
        if container.kind not in KINDS:
            self.remark = f"unknown length: whether a file of {file.format} is whole cannot be told"
        self.full_scale = 1.0 if plain else 2.0

    def blocks(self, first: int = 0, last: int = ENDLESS) -> Iterator[Samples]:
        """Blocks `[N, channels]` of a second between two samples; only a seekable file is read twice.

        Raises:
            SereError: D603 where a truncated or damaged file ends.
        """
        with decoding(self._path):
            at = first if self.seekable else 0
            for block in self._stream if self._file is None else self._read(self._file, at):
                part = block[max(0, first - at) : max(0, last - at)]
                at += len(block)
                if len(part):
                    yield part
                if at >= last:
                    return
            if self.certain and at != self.frames:
                what = f"{'truncated' if at < (self.frames or 0) else 'damaged'}: {self.frames} samples promised, {at} decoded"
                raise error("D603", what, "copy it again", self._place)

    def _read(self, file: soundfile.SoundFile, at: int) -> Iterator[Samples]:
        if at:
            file.seek(at)
        size, end = max(1, min(file.samplerate, 1 << 20, _LARGEST // file.channels)), self.frames if self.certain else None
        while True:
            try:
                block = file.read(min(size, end - at) if end and at < end else size, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:
                if at == end:  # what is behind is not audio
                    return
                raise
            if not len(block):
                return
            at += len(block)
            yield block

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            if self._seen is not None:
                self._seen.close()


@contextmanager
def opened(path: Path) -> Iterator[AudioFile]:
    """An audio file.  Only files are opened: a pipe would wait for ever.

    Raises:
        SereError: D603 (unreadable, truncated, or not what its name says), D604 (a film without sound), P108 (a file that only
            PyAV decodes, without PyAV).
    """
    place = str(path)
    with decoding(path):
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise error("D603", "is a folder" if stat.S_ISDIR(mode) else "is no regular file", place=place)
        with open(path, "rb") as raw:
            container = examine(raw, path)
        file = AudioFile(path, container)
        try:
            yield file
        finally:
            file.close()


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Whatever a file makes a decoder raise is a D603 of that file."""
    try:
        yield
    except SereError:
        raise
    except FileNotFoundError as cause:
        raise error("D603", "there is no such file", place=str(path)) from cause
    except OSError as cause:
        raise error("D603", f"cannot be read: {cause.strerror or reason(cause)}", place=str(path)) from cause
    except soundfile.LibsndfileError as cause:
        said = cause.error_string.strip(" .") or "decoding failed"
        raise error("D603", f"damaged: it can be decoded in part only ({said})", "copy it again", str(path)) from cause
    except Exception as cause:
        raise error("D603", f"cannot be decoded: {reason(cause)}", place=str(path)) from cause


def pyav_blocks(file: str, kind: str, place: str) -> Iterator[tuple[Samples, int]]:
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
            rate, decoded = int(stream.rate), 0
            to_float = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate)
            for frame in itertools.chain(container.decode(stream), [None]):
                for piece in to_float.resample(frame):
                    decoded += piece.samples
                    yield np.ascontiguousarray(piece.to_ndarray().T, dtype=np.float32), rate
            seconds = 0.0  # unknown; of raw AAC it is a guess
            if stream.duration and stream.time_base:
                seconds = float(stream.duration * stream.time_base)
            elif container.duration and not container.streams.video:
                seconds = container.duration / av.time_base
            if kind != "AAC" and decoded / rate < 0.99 * seconds - 0.05:
                what = f"damaged: {seconds:.2f} s promised, {decoded / rate:.2f} s decoded"
                raise error("D603", what, "copy it again", place)
    except av.error.FFmpegError as cause:
        raise error("D603", f"its {kind} content cannot be decoded ({cause.strerror})", place=place) from cause


class _Seen(io.FileIO):
    """A file without the tag in front of it, and with the size that its writer never filled in."""

    def __init__(self, path: Path, container: Container) -> None:
        super().__init__(path)
        self._start, (self._at, self._content) = container.start, container.patch or (0, b"")
        super().seek(self._start)

    def seek(self, offset: int, whence: int = 0) -> int:
        return super().seek(offset + (self._start if whence == 0 else 0), whence) - self._start

    def tell(self) -> int:
        return super().tell() - self._start

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        begin, view = super().tell(), memoryview(buffer).cast("B")
        count = super().readinto(buffer) or 0
        for index, byte in enumerate(self._content, self._at - begin):
            if 0 <= index < count:
                view[index] = byte
        return count
