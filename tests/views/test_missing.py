"""A loss that compares views, in a config without any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sere_core.cli import main
from tests.small import SMALL


@pytest.mark.parametrize("views", ["", "views: {strong: [{use: feature_dropout}]}\n"])
def test_views_that_are_the_utterance_itself_are_said(views: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SERE_CACHE", str(tmp_path / "cache"))
    Path("a.yaml").write_text(SMALL.replace("losses: {", "losses: {adapt: {use: pi_model}, ") + views)
    assert main(["run", "a.yaml", "--quiet"]) == 0
    (manifest,) = Path("runs").rglob("manifest.json")
    said = [line for line in json.loads(manifest.read_text())["notes"]["warnings"] if "`views`" in line]
    assert len(said) == (0 if views else 1)
