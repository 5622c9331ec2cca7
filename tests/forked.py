"""Commands in forked children of this process: their own exit status, streams and environment, without the imports anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


def forked(call: Callable[[], int | None], cwd: Path, seconds: int = 300, **environ: str) -> subprocess.CompletedProcess[str]:
    """How a call ends in a child: what it gives or exits with, what it prints to its streams; -14 where it hangs."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            end_as(call, cwd, seconds, environ, out.fileno(), err.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for file in (out, err):
            file.seek(0)
        said, told = (file.read().decode(errors="replace") for file in (out, err))
    return subprocess.CompletedProcess([], code, said, told)


def end_as(call: Callable[[], int | None], cwd: Path, seconds: int, environ: dict[str, str], out: int, err: int) -> None:
    """In a child: do the call, and end the process as it ends."""
    code: int | None = 70
    try:
        signal.alarm(seconds)
        os.chdir(cwd)
        os.environ |= environ
        for number, descriptor in ((1, out), (2, err)):
            os.dup2(descriptor, number)
        # not pytest's
        sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8") for number in (1, 2))  # noqa: SIM115
        code = call()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
