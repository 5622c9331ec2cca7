"""`sere plugins check`: the kit from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sere_core.cli import main
from sere_core.cli.plugins import check
from sere_core.testing import checks, harness
from sere_registry import SereError
from tests.kit.test_broken import catalog, spec

#: the checks of a corpus for which it must be built
BUILT = sum(check.id.startswith(("build.", "corpus.", "integration.")) for check in checks("corpus"))


def test_a_component_that_conforms(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "check", "sere.coral"]) == 0
    assert capsys.readouterr().out.startswith("passed  loss sere.coral (sere ")


def test_a_distribution_with_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    given = catalog(spec("loss", "IgnoresMask"))
    assert check(["sere-xyz"], False, catalog=given) == 3
    first, *lines = capsys.readouterr().out.splitlines()
    (second,) = (line for line in lines if not line.startswith("    note: "))
    assert first.startswith("FAILED  loss xyz.thing (sere-xyz 1.0)") and second.startswith("    loss.padding: the term 'gap' ")


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(["xyz.thing"], True, catalog=catalog(spec("selector", "Moody"))) == 3
    told: Any = json.loads(capsys.readouterr().out)
    (row,) = told["components"]
    assert not told["passed"] and [one["id"] for one in row["checks"] if one["passed"] is False] == ["selector.deterministic"]


def test_what_cannot_run_here_is_said_and_does_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "check", "emodb"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert (
        line.startswith("partly  corpus sere.emodb (sere ") and f" checks; {BUILT} not run: build.params: it needs values for root" in line
    )
    assert main(["plugins", "check", "emodb", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (row,) = told["components"]
    assert told["passed"] is None and row["passed"] is None and told["not_run"] == row["not_run"] == BUILT
    (why,) = row["why_not_run"]
    assert why.startswith("build.params: it needs values for root")
    assert main(["plugins", "check", "emodb", "--set", f"root={tmp_path}"]) == 3
    assert "corpus.listing: [D602]" in capsys.readouterr().out


def test_several_end_in_a_line_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "check", "emodb", "casia", "sere.last"]) == 0
    *each, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in each] == ["partly", "partly", "passed"]
    assert last == f"partly  3 components: 1 passed, 2 partly, 0 failed; {2 * BUILT} checks not run"


def test_paths_count_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    given: dict[str, Any] = {}
    monkeypatch.setattr(harness, "run_entry", lambda entry, catalog, params: given.update({entry.short_name: params}) or [])
    check(["emodb", "hubert"], True, params={"root": "data", "model": "here"})
    check(["whisper"], True, params={"model": "openai/whisper-tiny"})
    assert given == {
        "emodb": {"root": str(tmp_path / "data")},
        "hubert": {"model": str(tmp_path / "here")},
        "whisper": {"model": "openai/whisper-tiny"},
    }


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(SereError, match=r"R201.*neither a distribution"):
        check(["sere-nothing"], False, catalog=catalog(spec("loss", "GoodLoss")))
