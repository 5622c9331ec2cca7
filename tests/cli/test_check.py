"""`sere config check`: a factory that does not exist is said at the place that names the component; `--disable DIST` and its spelling."""

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
def test_a_missing_factory_is_one_line_with_the_place_in_the_config(
    words: list[str], typo: Path, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 3
    line, hint = capsys.readouterr().err.splitlines()
    assert line.startswith("a.yaml:9:23: losses.adapt.use: [P104] loss 'parts.tric' of ") and line.endswith(":Trik does not exist")
    assert "SERE_DISABLE=sere-plugin-parts" in hint
    assert not engine.calls


def test_a_missing_factory_as_json(typo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "a.yaml", "--json"]) == 3
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["code"], problem["path"], problem["line"]) == ("P104", "losses.adapt.use", 9)


def test_a_factory_that_is_there_is_found_without_importing_it(folder: Path) -> None:
    (folder / "parts.py").write_text(PARTS + TYPO.replace("Trik", "Tric"))
    assert main(["config", "check", "a.yaml"]) == 0


@pytest.mark.parametrize("method", ["mcd", "nrc", "jdar", "logistic", "logistic_balanced", "svm"])
def test_losses_that_a_method_would_refuse_are_refused_before_a_run(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "sere_default", "--set", f"method.use={method}"]) == 2
    (line, _) = capsys.readouterr().err.splitlines()
    assert "losses: [C311]" in line and f"sere.{method}" in line and "classify, adapt" in line
    assert main(["config", "check", "sere_default", "--set", f"method.use={method}", "--set", "losses=null"]) == 0
    assert main(["config", "check", "sere_default", "--set", f"method.use={method}", "--set", "losses=[{use: tric}]"]) == 2
    assert "losses: [C302]" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["config", "diff", "compare/small", "sere_default"], ["run", "compare/small"]])
def test_a_comparison_is_no_config_of_a_run(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    line, hint = capsys.readouterr().err.splitlines()
    assert ": compare: [C302] small.yaml" in line and "sere compare" in hint


def test_of_many_names_the_closest_are_listed_with_their_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "info", "trik"]) == 2
    hint = capsys.readouterr().err.splitlines()[1]
    assert "'tric'" in hint and len(hint) < 120 and int(hint.partition(" of ")[2].split()[0]) > 50


def test_a_disabled_distribution_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "sere_default", "--disable", "sere"]) != 0
    told = capsys.readouterr().err
    assert "[P107]" in told and "sere" in told and "disabled by --disable" in told


def test_another_one_changes_nothing() -> None:
    assert main(["config", "check", "sere_default", "--disable", "sere-plugin-nobody-has"]) == 0


@pytest.mark.parametrize("way", ["--disable", "SERE_DISABLE", "plugins.disable"])
def test_a_misspelt_one_is_a_warning_with_a_suggestion(
    way: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"--disable": ["--disable", "seere"], "SERE_DISABLE": [], "plugins.disable": ["--set", "plugins.disable=[seere]"]}[way]
    if not words:
        monkeypatch.setenv(way, "seere")
    assert main(["config", "check", "sere_default", *words]) == 0
    out, err = capsys.readouterr()
    assert f"[P107] {way} leaves nothing out: no distribution named 'seere' is installed" in err and "did you mean 'sere'?" in err
    assert err.startswith("warning: ") and "ok, 1 warning" in out

    assert main(["config", "check", "sere_default", "--json", *words]) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert warning["code"] == "P107" and warning["path"] == ("plugins.disable.0" if way == "plugins.disable" else "")


def test_what_is_installed_is_no_mistake_and_a_mistake_in_the_config_hides_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "sere_default", "--disable", "PyTest"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["config", "check", "sere_default", "--disable", "seere", "--set", "method.use=nothing"]) != 0
    assert capsys.readouterr().err.startswith("warning: [P107] --disable leaves nothing out")


def test_the_doctor_says_it_and_finds_nothing_broken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SERE_DISABLE", "sere-plugin-nobody-has")
    assert main(["plugins", "doctor"]) == 0
    assert "[P107] SERE_DISABLE leaves nothing out" in capsys.readouterr().out
