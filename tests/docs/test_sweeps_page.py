"""The example of `docs/sweeps.md` runs as it stands."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from sere_core.cli import compare as command
from sere_core.cli import main
from tests.compare.tiny import Here
from tests.docs.pages import blocks, fences

PAGE = "sweeps.md"


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SERE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(command, "executor_of", lambda arguments, planned: Here())
    page = list(blocks(PAGE))
    assert fences(PAGE) == 2 * len(page)
    for block in page:
        if block.role == "file":
            (tmp_path / block.about).write_text(block.text)
    lines = [line for block in page if block.language == "sh" for line in block.text.splitlines() if line.startswith("sere ")]
    assert len(lines) == 3
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)
    assert {path.name for path in (tmp_path / "runs" / "small-tuned").iterdir()} >= {
        "trials.json",
        "chosen.json",
        "plan.json",
        "jobs",
        "records",
    }
    assert "tuning random search, 2 trials, sere.information_max, 2 repeats" in " ".join(capsys.readouterr().out.split())
