"""`--disable DIST`: a distribution that this one call must not use."""

from __future__ import annotations

import pytest

from sere_core.cli import main


def test_a_disabled_distribution_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "sere_default", "--disable", "sere"]) != 0
    told = capsys.readouterr().err
    assert "[P107]" in told and "sere" in told and "disabled by --disable" in told


def test_another_one_changes_nothing() -> None:
    assert main(["config", "check", "sere_default", "--disable", "sere-plugin-nobody-has"]) == 0
