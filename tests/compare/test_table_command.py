"""`sere table` on records that nobody may add to, and what a second call needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sere_core.cli import main
from sere_core.compare.index import INDEX
from sere_core.compare.proved import PROOF
from tests.compare.made_up import make_comparison


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_comparison(tmp_path / "it", 2, 3, 2, bulk=False)
    return tmp_path / "it"


def test_a_folder_that_cannot_be_written_has_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Folders in the places of both kept files refuse a file there, whoever asks."""
    for name in (INDEX, PROOF):
        (folder / name).mkdir()
    before = sorted(folder.iterdir())
    assert main(["table", str(folder), "--format", "csv"]) == 0
    told = capsys.readouterr()
    head, *rows = told.out.splitlines()
    assert "p0>q0" in head and [row.partition(",")[0] for row in rows[:2]] == ["source-only", "method-1"]
    assert not told.err and sorted(folder.iterdir()) == before, "nothing is left behind, and nothing said"


def test_the_table_is_the_same_with_and_without_what_was_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", str(folder), "--format", "csv"]) == 0
    first = capsys.readouterr().out
    assert (folder / PROOF).is_file()
    assert main(["table", str(folder), "--format", "csv"]) == 0
    assert capsys.readouterr().out == first


def test_a_second_table_reads_no_config_and_imports_none_of_what_it_takes(folder: Path) -> None:
    assert main(["table", str(folder)]) == 0
    lines = (
        "import sys",
        "from sere_core.cli import main",
        f"assert main(['table', {str(folder)!r}]) == 0",
        "found = {'torch', 'sklearn'} & set(sys.modules)",
        "assert not found, found",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, capture_output=True)
