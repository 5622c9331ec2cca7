"""Workers that extract at once share the work, and take over what another one leaves when it is killed."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from sere_core.compare import extraction
from sere_core.compare.claims import shared
from sere_core.compare.extraction import extract_features
from sere_core.config import load
from sere_core.console import Speaker
from tests.compare.tiny import BASE


def child(call: object) -> int:
    process = os.fork()
    if process == 0:
        try:
            call()  # type: ignore[operator]
        finally:
            os._exit(0)
    return process


def test_each_part_is_done_by_one_and_those_of_a_killed_process_by_another(tmp_path: Path) -> None:
    def work() -> None:
        for part in shared(tmp_path / "claims", range(40), str):
            if not (tmp_path / f"done-{part}").exists():
                (tmp_path / f"by-{part}-{os.getpid()}").touch()
                time.sleep(0.02)
                (tmp_path / f"done-{part}").touch()

    children = [child(work) for _ in range(4)]
    while len(list(tmp_path.glob("by-*"))) < 8:
        time.sleep(0.005)
    os.kill(children[0], signal.SIGKILL)
    assert sorted(os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) for each in children) == [-signal.SIGKILL, 0, 0, 0]
    assert len(list(tmp_path.glob("done-*"))) == 40
    assert len(list(tmp_path.glob("by-*"))) in (40, 41), "only what the killed one had in hand may be done again"


def test_two_workers_extract_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(extraction, "_AT_A_TIME", 3)
    (tmp_path / "base.yaml").write_text(BASE)
    job = load("base.yaml", sets=[f"features.cache={tmp_path / 'cache'}", "dynamics.use=none", "resonance=null", "losses.adapt=null"])

    def work(number: int) -> None:
        class Noted(Speaker):
            def say(self, line: str, style: str = "") -> None:
                (tmp_path / f"said-{number}").write_text(line)

        extract_features([job], Noted(quiet=True))

    children = [child(lambda number=number: work(number)) for number in range(2)]  # type: ignore[misc]
    assert [os.waitpid(each, 0)[1] for each in children] == [0, 0]
    said = [(tmp_path / f"said-{number}").read_text() for number in range(2)]
    found = [re.search(r"(\d+) utterances; (\d+) extracted", text) for text in said]
    numbers = [(int(each[1]), int(each[2])) for each in found if each]
    assert len(numbers) == 2, said
    assert numbers[0][0] == numbers[1][0] == numbers[0][1] + numbers[1][1], said
