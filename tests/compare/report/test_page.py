"""The page is one file that needs nothing, says everything, and takes names for nothing but names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sere_core.compare.report import write_report
from tests.compare.made_up import make_comparison
from tests.compare.report.conftest import FAILURE, HOSTILE, PAIRS, ROWS, furnish
from tests.outline import Outline


@pytest.fixture(scope="module")
def outline(page: str) -> Outline:
    return Outline(page)


def test_it_is_whole_and_small(outline: Outline, comparison: Path) -> None:
    assert outline.open == []
    assert ("html", {"lang": "en"}) in outline.elements
    assert (comparison / "report.html").stat().st_size < 2_000_000


def test_it_asks_for_nothing_from_outside(outline: Outline, page: str) -> None:
    assert not [tag for tag, _ in outline.elements if tag in {"script", "iframe", "object", "embed", "base", "form"}]
    addresses = [found[name] for _, found in outline.elements for name in ("src", "href", "data", "srcset", "action") if name in found]
    assert addresses and all(each.startswith(("#", "data:")) for each in addresses)
    assert "@import" not in page
    assert all(each.startswith(("#", '"#', "'#", "data:")) for each in re.findall(r"url\(([^)]*)\)", page))
    policy = next(found["content"] for tag, found in outline.elements if found.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "script" not in policy


def test_a_hostile_name_is_a_name(outline: Outline, page: str, comparison: Path) -> None:
    assert "<script" not in page and "<img src=x" not in page and "<b>classify" not in page
    for section in ("conclusions", "table", "confusions", "how"):
        assert HOSTILE in outline.words[section], section
    assert FAILURE in outline.words["failures"]
    assert not [name for _, found in outline.elements for name in found if name.startswith("on")]
    assert not [path for path in (comparison / "figures").iterdir() if re.search(r"[^A-Za-z0-9.-]", path.name)]


def test_ids_are_unique_and_links_lead_somewhere(outline: Outline) -> None:
    ids = [found["id"] for _, found in outline.elements if "id" in found]
    assert len(ids) == len(set(ids))
    inner = [found["href"][1:] for _, found in outline.elements if found.get("href", "").startswith("#")]
    assert inner and set(inner) <= set(ids)


def test_every_drawing_says_what_it_shows(outline: Outline) -> None:
    drawings = [found for tag, found in outline.elements if tag == "svg"]
    assert len(drawings) > 20 and all(found["role"] == "img" and len(found["aria-label"]) > 15 for found in drawings)
    assert all(found.get("alt") for tag, found in outline.elements if tag == "img")
    regions = [found for _, found in outline.elements if found.get("class", "").startswith("scroll")]
    assert regions and all(found["tabindex"] == "0" and found["aria-label"] for found in regions)


def test_every_section_says_its_part(outline: Outline) -> None:
    said = outline.words
    assert "ours is better than source-only, the floor (+" in said[""]
    assert "Better than ours" in said["conclusions"] and "Worse than ours" in said["conclusions"]
    for pair in PAIRS:
        assert pair in said["table"] and pair in said["pairs"]
    for row in ROWS:
        assert row in said["table"] and row in said["cost"] and row in said["curves"]
    assert "chance" in said["table"] and "ceiling: trained on target labels" in said["table"] and "3 of 4 seeds" in said["table"]
    assert "prototype spread" in said["curves"]
    assert "same language" in said["embeddings"] and "labels of the target are sealed" in said["embeddings"]
    assert "anger told by <anger>" in said["resonance"]
    assert "123,456" in said["cost"]
    for word in ("epochs 10", "last", "python 3.11.7", "scorer", "features.all", "made up", "5-shot inductive"):
        assert word in said["how"], word
    assert "clipped audio" in said["warnings"] and said["warnings"].count("clipped audio") == 1
    assert "ceiling, aa>bb, seed 1: not made" in said["failures"]
    assert "30 of 32 runs have a record" in said[""]


def test_figures_are_files_too(comparison: Path) -> None:
    names = {path.name for path in (comparison / "figures").iterdir()}
    stems = {name.rpartition(".")[0] for name in names if not name.startswith("resonance")}
    assert {f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")} <= names
    for beginning in ("bars-", "differences", "confusion-", "losses-", "diagnostic-", "map-"):
        assert [stem for stem in stems if stem.startswith(beginning)], beginning
    assert "bars-of-a-row-that-is-gone.png" not in names and "resonance-a-b.svg" in names


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    plan = make_comparison(tmp_path, ("source-only", "ours"), ("aa>bb",), (0, 1))
    furnish(tmp_path, plan, points=40)
    first = write_report(tmp_path).read_bytes()
    files = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert write_report(tmp_path).read_bytes() == first
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    scores = tmp_path / "records" / plan.jobs[0].job / "scores.json"
    scores.write_text(json.dumps({**json.loads(scores.read_text()), "n": 1}))
    assert "is not the file that the run finished with" in write_report(tmp_path).read_text(), "a changed record counts as missing"


def test_a_comparison_that_has_only_begun_has_a_report(tmp_path: Path) -> None:
    places = [(row, "aa>bb", seed) for row in ("source-only", "ours") for seed in (0, 1)]
    make_comparison(tmp_path / "none", ("source-only", "ours"), ("aa>bb",), (0, 1), missing=places)
    assert "aa&gt;bb, seed 0, 1: not made" in write_report(tmp_path / "none").read_text()
    make_comparison(tmp_path / "one", ("source-only", "ours"), ("aa>bb",), (0, 1), missing=places[1:], old=True, speakers=0)
    assert "ours" in write_report(tmp_path / "one").read_text()


def test_the_command_writes_it_and_refuses_rows_that_share_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sere_core.cli import main

    make_comparison(tmp_path / "made-up", ("source-only", "ours"), ("aa>bb",), (0, 1))
    assert main(["report", str(tmp_path / "made-up"), "--resonance", "0"]) == 0  # made-up records have no network to look into
    told = capsys.readouterr()
    assert "report.html" in told.out and told.err == ""
    assert main(["report", str(tmp_path)]) == 1
    assert "[T505]" in capsys.readouterr().err
    places = [(row, "aa>bb", 0) for row in ("source-only", "ours")]
    make_comparison(tmp_path / "none", ("source-only", "ours"), ("aa>bb",), (0,), missing=places)
    assert main(["report", str(tmp_path / "none"), "--resonance", "0"]) == 1
    told = capsys.readouterr()
    assert "[T505]" in told.err and str(tmp_path / "none") in told.err and (tmp_path / "none" / "report.html").exists()
    make_comparison(tmp_path / "mixed", ("source-only", "ours"), ("aa>bb",), (0,), selection={"ours": "entropy"})
    assert main(["report", str(tmp_path / "mixed"), "--resonance", "0"]) == 1
    assert re.search(r"T50[68]", capsys.readouterr().err) and not (tmp_path / "mixed" / "report.html").exists()
