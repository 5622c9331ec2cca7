"""Files that are whole or not there: temporary file, fsync, rename; the one lock of a run folder; paths as users write them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from sere_registry.errors import SereError, error

#: of an OSError: there is no room
FULL = {errno.ENOSPC, errno.EDQUOT}
_ELSEWHERE = "another folder (`output.dir` of records, `features.cache` or SERE_CACHE of the cache)"


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path with its `~` replaced; unchanged where that names no home folder, as in a shell (a file may be called `~a.wav`)."""
    with contextlib.suppress(ValueError):  # a NUL byte: whoever opens the path says so
        return Path(os.path.expanduser(path))
    return Path(path)


def cache_folder(chosen: str | None = None) -> Path:
    """The folder of what is made once for all runs: `chosen`, else SERE_CACHE, else ~/.cache/sere.

    Raises:
        SereError: X704 where the last is wanted, and no home folder is known.
    """
    folder = expanded(chosen or os.environ.get("SERE_CACHE") or "~/.cache/sere")
    if folder.parts[:1] == ("~",):
        hint = "set SERE_CACHE to a folder that can be written, or HOME"
        raise error("X704", f"{folder} has no place: this user has no home folder", hint)
    return folder


def corpora_folder(chosen: str | None = None) -> Path:
    """Where corpora keep audio that they make, below `cache_folder`; what lies there follows from their code, parameters and data."""
    return cache_folder(chosen) / "corpora"


def check_file(path: Path) -> None:
    """That reading a path ends.

    Raises:
        OSError: nothing is there; or a folder, pipe, socket or device, or a file that the system makes up, which may never end.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        forms = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
        what = next((word for test, word in forms if test(mode)), "a device")
        raise OSError(errno.EINVAL, f"it is {what}, not a file", str(path))
    if os.path.realpath(path).startswith(("/proc/", "/sys/")):
        raise OSError(errno.EINVAL, "it is made up by the system, not a file", str(path))


def read_file(path: Path, most: int | None = None) -> bytes:
    """All bytes of a file, of at most `most` bytes.

    Raises:
        OSError: as `check_file`, and for a larger file.
    """
    check_file(path)
    if most is not None and path.stat().st_size > most:
        raise OSError(errno.EFBIG, f"it has more than {most // 2**20} MiB", str(path))
    return path.read_bytes()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what a file system can refuse into one line.

    Raises:
        SereError: X705 if the disk is full, X704 for everything else that the system says.
    """
    try:
        yield
    except SereError:
        raise
    except OSError as cause:
        if cause.errno in FULL:
            raise _full(path) from cause
        what = f"{path} cannot be written: {cause.strerror or cause}"
        raise error("X704", what, f"name {_ELSEWHERE}, or change its permissions") from cause
    except Exception as cause:  # safetensors reports a full disk as an error of its own
        if "No space left on device" in str(cause):
            raise _full(path) from cause
        raise


def _full(path: Path) -> SereError:
    hint = f"make room or name {_ELSEWHERE}, then go on with --resume; what was there before is unharmed"
    return error("X705", f"the disk is full: {path} was not written", hint)


@contextlib.contextmanager
def atomic_path(path: Path, sync: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`, for a writer that wants a name; renamed to `path` if the block ends well.

    Args:
        path: the file.
        sync: wait until it is on the disk; not needed for what is checked when it is read, and made again.

    Raises:
        SereError: X704 or X705.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")  # threads and machines may write the same file
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            if sync:
                _sync(temporary)
            os.replace(temporary, path)
            if sync:
                _sync(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def write_atomically(path: Path, data: bytes, sync: bool = True) -> None:
    """Write `data` to `path`: afterwards the file holds all of it, or what it held before; for `sync` see `atomic_path`.

    Raises:
        SereError: X704 or X705.
    """
    with atomic_path(path, sync) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            write_all(descriptor, data)
        finally:
            os.close(descriptor)


def append(path: Path, data: bytes) -> None:
    """Append `data` to `path` and wait until it is on the disk.

    Raises:
        SereError: X704 or X705; a part of `data` may then stand at the end of the file.
    """
    with writing(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything, however little the system takes at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


class FolderLock:
    """One process at a time in a folder.  The system drops the lock when its holder ends, however it ends.

    Raises:
        SereError: T504 if another process (or another lock of this one) holds it, X704 if there can be no lock.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / ".lock"
        with writing(path):
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(self._descriptor, 0)
                write_all(self._descriptor, f"{os.getpid()}\n".encode())
            except BlockingIOError as cause:
                holder = os.pread(self._descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
                os.close(self._descriptor)
                raise error("T504", f"process {holder} works in {folder}", "wait for it, or give this run another `name`") from cause
            except BaseException:
                os.close(self._descriptor)
                raise

    def release(self) -> None:
        """Let the next one in; the lock's file stays, since removing it would let two in."""
        os.close(self._descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
