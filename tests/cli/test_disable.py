"""`--disable DIST`: a distribution that this one call must not use."""

from __future__ import annotations

import json

import pytest

from sere_core.cli import main


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


def test_what_is_installed_and_announces_nothing_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "sere_default", "--disable", "PyTest"]) == 0
    assert capsys.readouterr().err == ""


def test_a_mistake_in_the_config_hides_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "sere_default", "--disable", "seere", "--set", "method.use=nothing"]) != 0
    assert capsys.readouterr().err.startswith("warning: [P107] --disable leaves nothing out")


def test_the_doctor_says_it_and_finds_nothing_broken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SERE_DISABLE", "sere-plugin-nobody-has")
    assert main(["plugins", "doctor"]) == 0
    assert "[P107] SERE_DISABLE leaves nothing out" in capsys.readouterr().out
