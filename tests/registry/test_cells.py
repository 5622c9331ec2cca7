"""Cells of a CSV are no formulas, and read back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sere_core.score.records import RunFolder, read_predictions
from sere_registry.cells import inert, meant

ODD = [
    "=1+1",
    "+1+1",
    "-x",
    "@SUM(A1)",
    "\tx",
    "\rx",
    "\n=x",
    "'=x",
    "''=x",
    "'",
    "''",
    "=cmd|'/c calc'!A1",
    "＝1",
    "-",
    "-0.5",
    "a=1",
    "",
    "1e5",
]


@pytest.mark.parametrize("text", ODD)
def test_a_cell_is_no_formula_and_reads_back(text: str) -> None:
    cell = inert(text)
    assert meant(cell) == text
    try:
        float(text)
    except ValueError:
        assert not cell.startswith(tuple("=+-@\t\r\n＝＋－＠"))
    else:
        assert cell == text, "a number is a number"


def test_ids_of_predictions_are_no_formulas_and_read_back(tmp_path: Path) -> None:
    run, ids = RunFolder(tmp_path, "1"), [text or "x" for text in ODD]
    run.path.mkdir()
    run.write_predictions(0, ids, np.full((len(ids), 2), 0.5), ["=anger", "fear"])
    assert sorted(each.id for each in read_predictions(run.path / "predictions.csv")) == sorted(ids)
    assert {each.prediction for each in run.predictions()} == {"=anger"}
