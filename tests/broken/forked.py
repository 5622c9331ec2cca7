"""Runs one config after the other, each in a forked child of a process that has imported everything: `python forked.py FOLDER...`

Every FOLDER holds `run.yaml`; its output goes to `out` and `err` there, and the exit status (or "hangs") to `code`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

LIMIT = 90


def child(folder: Path, words: list[str]) -> None:
    os.chdir(folder)
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    from sere_core.cli import run_main

    code = 70
    try:
        code = run_main(["run.yaml", *words])
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 71
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main(folders: list[str]) -> None:
    import torch

    import sere_plugins.methods.joint  # noqa: F401

    torch.set_num_threads(1)
    waiting: dict[int, Path] = {}
    for each in [*folders, None]:
        while waiting and (each is None or len(waiting) >= 2 or folders[0] == str(next(iter(waiting.values())))):
            pid, status = os.wait()
            if pid in waiting:
                folder = waiting.pop(pid)
                ended = os.waitstatus_to_exitcode(status)
                (folder / "code").write_text("hangs" if ended == -signal.SIGALRM else str(ended))
        if each is not None:
            pid = os.fork()
            if pid == 0:
                signal.alarm(LIMIT)
                child(Path(each), ["--quiet"])
            waiting[pid] = Path(each)


if __name__ == "__main__":
    main(sys.argv[1:])
