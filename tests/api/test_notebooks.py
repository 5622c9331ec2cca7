"""The example notebooks and the page on Python run from top to bottom, and what they show can be shown."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tests.docs.pages import blocks

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
#: a comparison is sixteen runs
NOTEBOOKS = [pytest.param(path, marks=pytest.mark.slow if path.stem == "comparison" else ()) for path in sorted(FOLDER.glob("*.ipynb"))]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    book = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, object] = {"__name__": "__main__"}
    for cell in book["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, path.name, "exec"), names)
        shown = eval(compile(ast.Expression(last.value), path.name, "eval"), names) if isinstance(last, ast.Expr) else None
        kinds = {kind for output in cell["outputs"] for kind in output.get("data", ())}
        assert hasattr(shown, "_repr_html_") or "text/html" not in kinds
    outputs = [output for cell in book["cells"] for output in cell.get("outputs", ())]
    assert outputs and not [output for output in outputs if output["output_type"] == "error"]


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for number, block in enumerate(blocks("api.md")):
        assert block.language == "python"
        exec(compile(block.text, f"docs/api.md, block {number + 1}", "exec"), names)
    assert "sere" in capsys.readouterr().out
