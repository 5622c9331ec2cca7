"""The run that hooks are called with."""

from __future__ import annotations

from pathlib import Path

import pytest

from sere_registry.hookspecs import RunInfo


@pytest.fixture
def run(tmp_path: Path) -> RunInfo:
    return RunInfo(name="toy", job="1f3a", folder=tmp_path, folds=2, classes=("anger", "fear", "neutral"), interactive=False)
