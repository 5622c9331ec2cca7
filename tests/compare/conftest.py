"""A working directory with a tiny base config."""

from __future__ import annotations

from pathlib import Path

import pytest

from sere_core.cli import compare as command
from tests.compare.tiny import BASE, PARTS, Here


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that holds `base.yaml` and `parts.py`."""
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "parts.py").write_text(PARTS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, where the commands run their jobs in this process and print on wide lines."""
    monkeypatch.setattr(command, "executor_of", lambda planned: Here())
    monkeypatch.setenv("COLUMNS", "160")
    return home
