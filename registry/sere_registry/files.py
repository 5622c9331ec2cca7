"""Files that are whole or not there: temporary file, fsync, rename; the one lock of a run folder; paths as users write them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sere_registry.errors import SereError, error

#: of an OSError: there is no room
FULL = {errno.ENOSPC, errno.EDQUOT}
_ELSEWHERE = "another folder (`output.dir` of records, `features.cache` or SERE_CACHE of the cache)"


def is_hub_name(name: str) -> bool:
    """Can it be the name of a model on the Hugging Face hub?

    >>> is_hub_name("openai/whisper-base"), is_hub_name("./whisper-base")
    (True, False)
    """
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?", name) is not None and ".." not in name


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


def visible_files(root: Path, closed: Callable[[OSError], object] | None = None) -> Iterator[Path]:
    """All files below a folder, through links to folders too; folder by folder, by name, without hidden ones.

    Args:
        root: the folder.
        closed: is told of folders that cannot be read.
    """
    seen = set()
    for folder, folders, names in os.walk(root, onerror=closed, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and real not in seen)  # links may go in circles
        seen.add(real)
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


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
    """One process at a time in a folder, on all machines that share it.

    The lock is the system's (`flock`), which drops it when its holder ends, however it ends; a network file system does so when the
    lease of a machine that is gone has run out.  The file says who holds it, is touched at each beat, and is emptied by a holder that
    lets go.  Hence whoever takes over from a process of another machine first looks for two beats whether that one still lives: then
    locks do not reach from there to here, and nobody may work.  A holder that finds another's name in the file (its machine slept,
    and lost the lock) ends at once.

    Raises:
        SereError: T504 if another process (or another lock of this one) holds it, X704 if there can be no lock, X708 if locks do not
            reach the machine that held it last.
    """

    BEAT = 10.0  # seconds

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".lock"
        with writing(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._check_lost()
                self._note = f"{os.uname().nodename} {os.getpid()}\n".encode()
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, self._note, 0)
            except BlockingIOError as cause:
                host, _, process = (self._holder() or "unknown unknown").partition(" ")
                os.close(self._descriptor)
                where = "" if host in (os.uname().nodename, "unknown") else f" of {host}"
                hint = "wait for it, or give this run another `name`"
                raise error("T504", f"process {process}{where} works in {folder}", hint) from cause
            except BaseException:
                os.close(self._descriptor)
                raise
        self._released, self._turn = threading.Event(), threading.Lock()
        threading.Thread(target=self._live, daemon=True).start()

    def release(self) -> None:
        """Let the next one in; the lock's file stays, since removing it would let two in."""
        with self._turn:
            self._released.set()
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)

    def _holder(self) -> str:
        return os.pread(self._descriptor, 300, 0).decode(errors="replace").strip()

    def _check_lost(self) -> None:
        """X708 where the last holder was another machine's, did not let go, and lives."""
        host = self._holder().partition(" ")[0]
        if host in ("", os.uname().nodename):
            return
        before, until = os.stat(self._path).st_mtime_ns, time.monotonic() + 2 * self.BEAT
        while time.monotonic() < until:
            time.sleep(min(1.0, self.BEAT))
            with open(self._path, "rb") as file:  # opening it asks the server
                changed = os.fstat(file.fileno()).st_mtime_ns != before
            if changed:
                hint = "mount the file system with locks (for Lustre: -o flock)"
                raise error("X708", f"locks in {self._path.parent} do not reach here from {host}", hint)

    def _live(self) -> None:
        while not self._released.wait(self.BEAT):
            with self._turn, contextlib.suppress(OSError):
                if self._released.is_set():
                    return
                if os.pread(self._descriptor, 300, 0) != self._note:
                    os.write(2, f"[T504] {self._path.parent} was taken over: this process slept too long\n".encode())
                    os._exit(1)
                os.utime(self._descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
