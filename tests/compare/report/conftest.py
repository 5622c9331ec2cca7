"""One made-up comparison with its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sere_core.compare.report import write_report
from tests.compare.made_up import make_comparison
from tests.compare.report.furnished import furnish

#: what a user may call a row
HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(2)>\" $\\frac{a}{b}$ {{ 7*7 }} ]]> und-so-weiter"
ROWS = ("source-only", "ours", HOSTILE, "ceiling")
PAIRS = ("aa>bb", "bb>aa")
FAILURE = "[T501] <b>classify</b> is not finite at step 3"


@pytest.fixture(scope="session")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder, with the report in it."""
    folder = tmp_path_factory.mktemp("report") / "made-up"
    accuracy = {"source-only": 0.4, "ours": 0.7, HOSTILE: 0.45, "ceiling": 0.9}
    failed = {(HOSTILE, "bb>aa", 2): FAILURE}
    missed = [("ceiling", "aa>bb", 1)]
    shape: dict[str, Any] = {"accuracy": accuracy, "failures": failed, "missing": missed, "reference": "ours"}
    plan = make_comparison(folder, ROWS, PAIRS, (0, 1, 2, 3), **shape)
    furnish(folder, plan, points=60)
    figures = folder / "figures"
    figures.mkdir()
    (figures / "resonance-a-b.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200"><rect width="9" height="9"/></svg>'
    )
    (figures / "resonance-a-b.txt").write_text("anger told by <anger>")
    (figures / "bars-of-a-row-that-is-gone.png").write_bytes(b"")
    write_report(folder)
    return folder


@pytest.fixture(scope="session")
def page(comparison: Path) -> str:
    """The text of the report."""
    return (comparison / "report.html").read_text(encoding="utf-8")
