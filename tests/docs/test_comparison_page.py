"""docs/comparison.md: its files are planned, its commands are commands of sere, its tables are those of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sere_core.cli import main, parser
from sere_core.compare.grammar import Comparison, Flags, Tune
from sere_core.compare.planning import Planned, plan_comparison
from sere_core.compare.proof import EXPLAINED_BY, NEVER_EXPLAINED
from sere_core.compare.tables import SHAPES
from tests.docs.pages import DOCS, blocks, fences

PAGE = "comparison.md"
TEXT = (DOCS / PAGE).read_text(encoding="utf-8")
FILES = {block.about: block.text for block in blocks(PAGE) if block.role == "file"}
COMMAND_LINES = [line for block in blocks(PAGE) if block.language == "sh" for line in block.text.splitlines()]


def cells(line: str) -> list[str]:
    """The cells of one line of a table of the page."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_block_is_closed_and_looked_at() -> None:
    found = list(blocks(PAGE))
    assert fences(PAGE) == 2 * len(found)
    assert {(block.language, block.role) for block in found} == {("sh", ""), ("yaml", "file"), ("text", "")}


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_a_command_is_one_of_sere_and_a_comparison_can_be_planned(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(line)
    assert program == "sere"
    parser(words[0]).parse_args(words)
    if words[0] == "compare" and words[1] != "compare/small":  # which is planned below
        assert main([*words, "--dry-run"]) == 0, capsys.readouterr().err
    assert not list(tmp_path.iterdir()), "a dry run writes nothing"


def test_the_shipped_file_is_shown_as_it_is() -> None:
    assert FILES["small.yaml"] == (DOCS.parent / "configs" / "compare" / "small.yaml").read_text(encoding="utf-8")


def planned(text: str, path: Path) -> Planned:
    path.write_text(text, encoding="utf-8")
    return plan_comparison(str(path), Flags())


def test_the_files_are_planned_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = planned(FILES["small.yaml"].replace("../sere_default.yaml", "sere_default"), tmp_path / "small.yaml").plan
    assert (len(small.rows), len(small.jobs), small.reference) == (4, 16, "sere")
    weights = planned(FILES["weights.yaml"], tmp_path / "weights.yaml").plan
    assert (len(weights.rows), len(weights.jobs), weights.reference) == (10, 80, "sere weight=1 hard")
    assert [row.name for row in weights.rows][:3] == ["source-only hard", "source-only soft", "sere weight=0.1 hard"]
    assert [row.role for row in weights.rows][:3] == ["floor", "floor", "method"]
    labels = planned(FILES["labels.yaml"], tmp_path / "labels.yaml").plan
    assert [row.role for row in labels.rows] == ["floor", "method", "topline"] and labels.gap["sere"] == ("source-only", "all labels")


def test_every_key_shape_and_rule_is_told() -> None:
    keys = {field.alias or name for name, field in Comparison.model_fields.items()}
    told = re.findall(r"^\| `(\w+)` \| ", TEXT, re.MULTILINE)
    assert keys | {"extends"} | set(SHAPES) == set(told)
    (tune,) = (line for line in TEXT.splitlines() if line.startswith("| `tune`"))
    assert all(f"`{name}`" in tune for name in Tune.model_fields)
    proof = TEXT.partition("## The proof")[2].partition("## The table")[0]
    names = [*EXPLAINED_BY, *NEVER_EXPLAINED]
    assert not [name for name in names if f"{name.rpartition('.')[2]}" not in proof]


def test_the_shown_table_adds_up() -> None:
    (shown,) = (block.text for block in blocks(PAGE) if block.language == "text")
    scores = {name: [float(value) for value in values] for name, *values in re.findall(
        r"^(\w[\w-]*) .*?\*?_?(\d+\.\d)±\S+ +\*?_?(\d+\.\d)±\S+ +\*?_?(\d+\.\d) ", shown, re.MULTILINE
    )}  # fmt: skip
    assert set(scores) == {"source-only", "sere", "coral", "ceiling"}
    assert all(abs((one + two) / 2 - mean) < 0.11 for one, two, mean in scores.values())
    differences = re.findall(r"^(\w[\w-]*)[^\d\n]* ([+-]\d+\.\d) ", shown, re.MULTILINE)
    assert {name for name, _ in differences} == scores.keys() - {"sere"}
    for name, difference in differences:
        assert abs(scores[name][2] - scores["sere"][2] - float(difference)) < 0.11
