"""A comparison on targets without labels: no UAR and no traceback, but what can be said without labels."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sere_core.cli import main
from sere_core.compare.label_free import by_scored, label_free
from sere_core.compare.reading import read_results
from sere_core.score.evidence import agreement

CALLS = """\
sere: 1
compare: little
base: base.yaml
set: {corpora: {calls: {use: folder, params: {root: calls, language: xb, speaker: parent}}}}
rows: {floor: {losses: {adapt: null}}, ours: {}}
floor: floor
reference: ours
seeds: 2
"""


@pytest.fixture
def calls(here: Path) -> Path:
    for number in range(9):
        folder = here / "calls" / f"p{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"u{number}.wav", np.sin(np.arange(6400) * (0.02 + 0.02 * number)) * 0.3, 16000)
    return here


def compare(text: str, *words: str) -> int:
    Path("calls.yaml").write_text(text)
    return main(["compare", "calls.yaml", "--yes", *words])


def test_a_pair_without_labels_gets_a_table_of_its_own(calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(CALLS + "pairs: [xa>xb, xa>calls]\n") == 0
    printed = capsys.readouterr().out
    assert "NOTHING WAS SCORED" in printed and printed.index("little: UAR") < printed.index("xa>calls: label-free")
    folder = calls / "runs" / "little"
    results = read_results(folder)
    scored, silent = by_scored(results)
    assert (scored.plan.pairs, silent.plan.pairs) == (("xa>xb",), ("xa>calls",)) and len(silent.runs) == 4
    (table,) = label_free(silent)
    lines = {line.about["row"]: dict(zip([column.title for column in table.columns], line.cells, strict=True)) for line in table.lines}
    assert set(lines) == {"floor", "ours"}
    for row, cells in lines.items():
        runs = silent.of_row(row)
        assert all(len(run.predicted) == 9 and not run.openings for run in runs)
        assert cells["runs"].data == (2,) and cells["agreement"].data == (pytest.approx(100 * agreement([run.predicted for run in runs])),)
        name, share = cells["most predicted"].data
        assert share == pytest.approx(100 * np.mean([[each == name for each in run.predicted] for run in runs]))
    assert main(["report", str(folder), "--resonance", "0", "--quiet"]) == 0
    assert "xa&gt;xb" in (folder / "report.html").read_text() and "xa&gt;calls" not in (folder / "report.html").read_text()


def test_where_nothing_was_scored_there_is_a_table_and_no_report(calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = CALLS + "pairs: [xa>calls]\n"
    assert compare(text, "--dry-run") == 0
    assert compare(text) == 0
    folder = str(calls / "runs" / "little")
    capsys.readouterr()
    assert main(["table", folder, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["row"], row["pair"]) for row in rows] == [("floor", "xa>calls"), ("ours", "xa>calls")]
    assert all(50 <= float(row["confidence"]) <= 100 and row["class"] in ("anger", "sadness") for row in rows)
    assert main(["report", folder, "--quiet"]) == 1
    assert "T508" in capsys.readouterr().err


def test_a_run_that_failed_is_told_where_its_pair_is(calls: Path) -> None:
    assert compare(CALLS + "pairs: [xa>xb, xa>calls]\n") == 0
    results = read_results(calls / "runs" / "little")
    failed = replace(results, failures={("ours", "xa>calls", 1): "lost", ("ours", "xa>xb", 1): "lost"})
    assert [list(part.failures) for part in by_scored(failed)] == [[("ours", "xa>xb", 1)], [("ours", "xa>calls", 1)]]


def test_a_ceiling_needs_labels_and_says_so_before_the_first_run(calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ceiling = CALLS.replace("rows: {", "rows: {top: {}, ") + "ceiling: top\npairs: [xa>calls]\n"
    assert compare(ceiling) == 2
    assert "D608" in capsys.readouterr().err
