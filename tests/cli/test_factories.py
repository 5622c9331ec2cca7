"""A factory that does not exist is said before a run begins, at the place that names the component."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sere_core.cli import main
from tests.cli.conftest import PARTS, Engine

TYPO = '\nLOSS = ComponentSpec(kind="loss", name="tric", factory=f"{__name__}:Trik", params=TricParams, summary="tric")\nclass Tric: ...\n'


@pytest.fixture
def typo(folder: Path) -> Path:
    """A config whose loss names a class that its file does not have."""
    (folder / "parts.py").write_text(PARTS + TYPO)
    return folder


@pytest.mark.parametrize("words", [["config", "check", "a.yaml"], ["run", "a.yaml", "--dry-run"]], ids=" ".join)
def test_it_is_one_line_with_the_place_in_the_config(
    words: list[str], typo: Path, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 3
    line, hint = capsys.readouterr().err.splitlines()
    assert line.startswith("a.yaml:9:23: losses.adapt.use: [P104] loss 'local.tric' of ") and line.endswith(":Trik does not exist")
    assert hint.strip() == f"correct `factory` in {typo / 'parts.py'}"
    assert not engine.calls


def test_as_json(typo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "a.yaml", "--json"]) == 3
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["code"], problem["path"], problem["line"]) == ("P104", "losses.adapt.use", 9)


def test_one_that_is_there_is_found_without_importing_it(folder: Path) -> None:
    (folder / "parts.py").write_text(PARTS + TYPO.replace("Trik", "Tric"))
    assert main(["config", "check", "a.yaml"]) == 0
