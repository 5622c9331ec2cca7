"""Commands in children of this process, which end when they write for the n-th time: as SIGKILL, and without a new import of torch."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sere_core.train.checkpoint
import sere_registry.files


def run(call: Callable[[], int], log: Path, kill_at: int | None = None, count: Path | None = None) -> int:
    """The exit code of a call in a child, -9 where it was killed; what it prints goes to `log`.

    Args:
        kill_at: before, in the middle of, or after which write it is killed; see `_Writes`.
        count: gets how many such moments there were.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 70
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout = sys.stderr = open(descriptor, "w", buffering=1, encoding="utf-8")  # noqa: SIM115  (not pytest's)
        writes = _Writes(kill_at)
        code = call()
        if count is not None:
            count.write_text(str(writes.moments))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


class _Writes:
    """Counts the moments around everything that reaches the disk, and ends the process at one of them."""

    def __init__(self, kill_at: int | None) -> None:
        self.moments, self._kill_at = 0, kill_at
        for module, name in ((os, "replace"), (os, "fsync"), (sere_core.train.checkpoint, "save_file")):
            setattr(module, name, self._counted(getattr(module, name)))
        real = sere_registry.files.write_all

        def write_all(descriptor: int, data: bytes) -> None:
            self.moment()
            real(descriptor, data[: len(data) // 2])
            self.moment()
            real(descriptor, data[len(data) // 2 :])

        sere_registry.files.write_all = write_all

    def moment(self) -> None:
        self.moments += 1
        if self.moments == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            self.moment()
            return real(*given, **named)

        return counted
