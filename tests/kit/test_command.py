"""`sere plugins check`: the kit from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sere_core.cli import main
from sere_core.cli.check import check
from sere_registry import SereError
from tests.kit.test_broken import catalog, spec


def test_a_component_that_conforms(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "check", "sere.coral"]) == 0
    assert capsys.readouterr().out.startswith("passed  loss sere.coral (sere ")


def test_a_distribution_with_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    given = catalog(spec("loss", "IgnoresMask"))
    assert check(["sere-xyz"], False, catalog=given) == 3
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("FAILED  loss xyz.thing (sere-xyz 1.0)") and second.startswith("    loss.padding: the term 'gap' is ")


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(["xyz.thing"], True, catalog=catalog(spec("selector", "Moody"))) == 3
    told: Any = json.loads(capsys.readouterr().out)
    (row,) = told["components"]
    assert not told["passed"] and [one["id"] for one in row["checks"] if one["passed"] is False] == ["selector.deterministic"]


def test_what_cannot_run_here_is_said_and_does_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "check", "emodb"]) == 0
    assert "    not run: build.params: it needs values for root" in capsys.readouterr().out
    assert main(["plugins", "check", "emodb", "--set", f"root={tmp_path}"]) == 3
    assert "corpus.listing: [D602]" in capsys.readouterr().out


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(SereError, match=r"R201.*neither a distribution"):
        check(["sere-nothing"], False, catalog=catalog(spec("loss", "GoodLoss")))
