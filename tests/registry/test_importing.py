"""What ends a process: an exit that no guard stops, and a crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from sere_core.cli import main
from tests.cli.test_blame import LOSS, run
from tests.small import SMALL


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
