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
        self._known: dict[str, Known] = {}
        with contextlib.suppress(OSError):
            for line in self.path.read_bytes().split(b"\n"):
                self._learn(line)

    def find(self, recording: Recording, options: Features) -> Known | None:
        """What is known of a recording, if its file has the size and time of change that it had then."""
        place = _place(recording, options)
        return None if place is None else self._known.get(place[0])

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
        self._known[place[0]] = known

    def _learn(self, line: bytes) -> None:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            if int(line[:8], 16) == zlib.crc32(line[9:]):
                place, known = json.loads(line[9:])
                self._known[place] = Known(**known)


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
