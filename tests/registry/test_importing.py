"""Packages that are imported before, in and after runs of one process."""

from __future__ import annotations

from pathlib import Path

import pytest

import sere_registry.guard
from sere_core.cli import main
from sere_registry.guard import importing, running
from tests.cli.test_blame import LOSS, run
from tests.small import SMALL


def test_what_stood_there_during_a_run_is_not_missed_after_it() -> None:
    with running(), importing("one_package", "loss 'one' of one"):
        pass
    with importing("another_package", "loss 'other' of another"):
        pass


def test_an_exit_that_no_guard_stops_is_a_coded_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sere_core.run.dry_run", lambda resolved: exit(0))
    assert main(["run", "a.yaml", "--dry-run"]) == 1
    assert "[T507]" in capsys.readouterr().err


def test_a_crash_says_where(tmp_path: Path) -> None:
    body = "    def forward(self, labelled):\n        import ctypes\n        ctypes.string_at(0)"
    (tmp_path / "loss.py").write_text(LOSS % body)
    done = run(tmp_path)
    assert done.returncode == -11 and "Segmentation fault" in done.stderr and 'loss.py", line 10 in forward' in done.stderr, done.stderr


def test_a_call_that_does_not_end_is_named_while_it_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sere_registry.guard, "LONG", 0.2)
    body = "    def forward(self, labelled):\n        import time; time.sleep(2)\n        return {'a': labelled.embedding.sum()}"
    (tmp_path / "loss.py").write_text(LOSS % body)
    done = run(tmp_path)
    said = [line for line in done.stderr.splitlines() if "has been at work in forward" in line]
    assert done.returncode == 0 and said and f"({tmp_path / 'loss.py'}:9)" in said[0] and "loss 'local.thing'" in said[0], done.stderr
