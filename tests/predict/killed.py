"""`sere predict`, killed again and again: python killed.py KILLS SEED LONGEST ARGUMENT...

A process that has imported everything forks one child for each call, and kills it (SIGKILL) after a random time of its work, until it was
killed so often, or ended.  Prints how many calls were killed behind their first rows, how many in all, and the last exit code.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from sere_core.cli import main
from sere_core.predict import job


def child(words: list[str]) -> int:
    pid = os.fork()
    if pid == 0:
        job._BLOCK = 0.01
        os._exit(main(words))
    return pid


def progress(work: Path, features: bool) -> tuple[bytes, int]:
    """What changes as a call goes on: the rows that count, and the features that are kept."""
    state = work / "state.json"
    return state.read_bytes() if state.exists() else b"", len(list(work.glob("features/*"))) if features else 0


def run(kills: int, seed: int, longest: float, words: list[str]) -> None:
    out = Path(words[words.index("-o") + 1])
    work, moments, behind, killed = out.with_name(f"{out.name}.part"), random.Random(seed), 0, 0
    while True:
        features = killed % 2 == 0  # in two passes, kill in the first one and in the second
        before, pid, end = progress(work, features), child(words), float("inf")
        while (ended := os.waitpid(pid, 0 if killed >= kills else os.WNOHANG))[0] == 0 and time.monotonic() < end:
            if end == float("inf") and progress(work, features) != before:
                end = time.monotonic() + moments.uniform(0, longest)
            time.sleep(0.002)
        if not ended[0]:
            os.kill(pid, signal.SIGKILL)
            ended = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(ended[1])
        if code != -signal.SIGKILL:  # it may have ended by itself just before the kill
            print(behind, killed, code)
            return
        killed += 1
        behind += (work / "state.json").exists()
        if out.exists():  # killed behind its last step
            print(behind, killed, 0)
            return


if __name__ == "__main__":
    run(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
