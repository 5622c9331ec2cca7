"""`sere table` on records that nobody may add to."""

from __future__ import annotations

from pathlib import Path

import pytest

from sere_core.cli import main
from tests.compare.made_up import make_comparison


def test_a_table_is_printed_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "it"
    make_comparison(folder, 2, 3, 2, bulk=False)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert main(["table", str(folder), "--format", "csv"]) == 0
    printed = capsys.readouterr()
    head, *rows = printed.out.splitlines()
    assert "p0>q0" in head and [row.partition(",")[0] for row in rows[:2]] == ["source-only", "method-1"]
    assert not printed.err and {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
