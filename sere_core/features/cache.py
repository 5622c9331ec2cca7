"""Extracted arrays on disk, each under the digest of all it depends on.

Safe for two processes: files appear whole (written aside and renamed), two writers of one key write the same content, and
every file carries a checksum over its key and content, so that a damaged, foreign or half-written file counts as absent.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sere_registry import SereError, error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sere_core.config.model import Features

_MAGIC = b"sere-f4\1"
_CHECK = 16


def folder(options: Features) -> Path:
    """Where the cache is: `features.cache` of the config, else SERE_CACHE, else ~/.cache/sere."""
    chosen = options.cache or os.environ.get("SERE_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "sere"


def key(audio: str, what: Mapping[str, Any]) -> str:
    """The key of an array: the digest of the audio's digest and of everything else that the array depends on (JSON data)."""
    text = json.dumps({"audio": audio, "what": what}, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def refused(cause: OSError, place: Path) -> SereError:
    """What a failed write means for the user: X705 (disk full, quota) or X704 (anything else)."""
    if cause.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return error("X705", "no space is left for the feature cache", "free some, or name another folder in SERE_CACHE", str(place))
    hint = "name another folder in SERE_CACHE or features.cache"
    return error("X704", f"the feature cache cannot be written: {cause.strerror or cause}", hint, str(place))


class Cache:
    """Arrays of float32 by key, below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """The file of a key."""
        return self.root / "arrays" / key[:2] / key[2:]

    def load(self, key: str) -> NDArray[np.float32] | None:
        """The array, or None if it is absent or its file is damaged."""
        try:
            content = bytearray(self.path(key).read_bytes())
        except OSError:
            return None
        start = len(_MAGIC) + _CHECK
        if len(content) < start + 4 or content[: len(_MAGIC)] != _MAGIC or content[len(_MAGIC) : start] != _checksum(key, content[start:]):
            return None
        (dimensions,) = struct.unpack_from("<I", content, start)
        shape = struct.unpack_from(f"<{dimensions}Q", content, start + 4)
        values = np.frombuffer(content, dtype="<f4", offset=start + 4 + 8 * dimensions)
        return values.reshape(shape)

    def store(self, key: str, array: NDArray[np.float32]) -> None:
        """Write an array, at once or not at all.

        Raises:
            SereError: X704 (the folder cannot be written), X705 (the disk is full).
        """
        body = struct.pack(f"<I{array.ndim}Q", array.ndim, *array.shape) + np.ascontiguousarray(array, dtype="<f4").tobytes()
        target = self.path(key)
        aside = ""
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, aside = tempfile.mkstemp(prefix=".part-", dir=target.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC + _checksum(key, body) + body)
            os.replace(aside, target)
        except BaseException as cause:
            if aside:
                with contextlib.suppress(OSError):
                    os.unlink(aside)
            if isinstance(cause, OSError):
                raise refused(cause, self.root) from cause
            raise


def _checksum(key: str, body: bytes | bytearray) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECK, key=key.encode()).digest()
