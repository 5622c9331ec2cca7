"""Runs configs one after the other, each in a forked child of one process: `python -m tests.broken.forked FOLDER...`

Every FOLDER holds `run.yaml`; its output goes to `out` and `err` there, and the exit status (or "hangs") to `code`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.forked import end_as

LIMIT = 300


def child(folder: Path, words: list[str]) -> None:
    from sere_core.cli import run_main

    out, err = (os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644) for name in ("out", "err"))
    end_as(lambda: run_main(["run.yaml", *words]), folder, LIMIT, {}, out, err)


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
                child(Path(each), ["--quiet"])
            waiting[pid] = Path(each)


if __name__ == "__main__":
    main(sys.argv[1:])
