"""What is known of audio files that have not changed, so that a warm start decodes none of them.

One line per file is appended to a text file in the cache: its name, size, time of change and the reading options lead to the
digest of its samples and the counts of what was trimmed and cut.  Appending a line is atomic, so two processes may do it; each
line carries a checksum, and a damaged line is as good as none.  Later lines win.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sere_core.features.cache import refused
from sere_registry import Recording

if TYPE_CHECKING:
    from sere_core.config.model import Features
    from sere_core.features.audio import Waveform

#: changes with how `audio.read` makes samples out of a file
_READING = 1

#: stands between a line's place and what is known of it, and not within the latter
_BETWEEN = b", {"

#: nanoseconds: a file changed so recently might change again within the same tick of its clock, so it is not remembered yet
_FRESH = 2_000_000_000


@dataclass(frozen=True)
class Known:
    """What there is to know of a waveform without its samples."""

    digest: str
    seconds: float
    trimmed_seconds: float
    cut_seconds: float


class Index:
    """The digests of unchanged audio files."""

    def __init__(self, root: Path) -> None:
        self.path = root / "audio.index"
        self._lines: dict[bytes, bytes] = {}  # a place, as JSON -> its line: a cache may know many more files than a run asks for
        with contextlib.suppress(OSError):
            for line in filter(None, self.path.read_bytes().split(b"\n")):
                self._learn(line)

    def find(self, recording: Recording, options: Features) -> Known | None:
        """What is known of a recording, if its file has the size and time of change that it had then."""
        place = _place(recording, options)
        line = None if place is None else self._lines.get(_key(place[0]))
        if line is None:
            return None
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return Known(**json.loads(line)[1])
        return None

    def remember(self, recording: Recording, options: Features, waveform: Waveform, before: int) -> None:
        """Append what `audio.read` found, for the next run; `before` is the time (ns) just before it read the file.

        Raises:
            SereError: X704 (the folder cannot be written), X705 (the disk is full).
        """
        place = _place(recording, options)
        if place is None or place[1] > before - _FRESH:
            return
        known = Known(waveform.digest, waveform.seconds, waveform.trimmed_seconds, waveform.cut_seconds)
        text = json.dumps([place[0], asdict(known)]).encode()
        line = b"\n%08x %s\n" % (zlib.crc32(text), text)  # begins a line of its own even after one that was torn
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(handle, line)
            finally:
                os.close(handle)
        except OSError as cause:
            raise refused(cause, self.path.parent) from cause
        self._lines[_key(place[0])] = text

    def _learn(self, line: bytes) -> None:
        text = line[9:]
        with contextlib.suppress(ValueError):
            if int(line[:8], 16) == zlib.crc32(text):
                self._lines[text[: text.rindex(_BETWEEN)]] = text


def _key(place: str) -> bytes:
    """What the line of a place begins with."""
    return f"[{json.dumps(place)}".encode()


def now() -> int:
    """The time in nanoseconds, by the clock that files' times of change come from."""
    return time.time_ns()


def _place(recording: Recording, options: Features) -> tuple[str, int] | None:
    """The name under which a file's state is known, and its time of change; None if there is no such file."""
    path = os.path.abspath(recording.path)
    try:
        state = os.stat(path)
    except OSError:
        return None
    parts = [_READING, path, state.st_size, state.st_mtime_ns, recording.start, recording.end, options.trim, options.max_seconds]
    return json.dumps(parts), state.st_mtime_ns
