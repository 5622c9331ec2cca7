"""The column *gap closed*: a share with the tables' own error, undefined where there is no gap, and a topline that is no method."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from sere_core.compare.grammar import Flags
from sere_core.compare.plan import ComparePlan, Row
from sere_core.compare.planning import plan_comparison
from sere_core.compare.reading import Results, read_results
from sere_core.compare.report.page import write_report
from sere_core.compare.stats.error import Errors
from sere_core.compare.stats.summary import GapClosed, summarise
from sere_core.compare.tables import Source, build
from sere_core.score.interval import ALPHA
from sere_core.tables import render
from sere_registry.errors import SereError
from tests.compare.made_up import default_protocol, make_comparison
from tests.compare.stats.synthetic import SIX, Accuracy, comparison
from tests.compare.tiny import COMPARISON, made

EVERY = dict.fromkeys(SIX, (0, 1, 2, 3, 4))
ROWS = ("floor", "ours", Row("all labels", "topline", ("task.shots",)))
ENDS = ("floor", "all labels")


def between(accuracy: Accuracy, **shape: object) -> Results:
    results = comparison(accuracy, rows=ROWS, **shape)  # type: ignore[arg-type]
    return replace(results, plan=replace(results.plan, gap=dict.fromkeys(("floor", "ours", "all labels"), ENDS)))


def level(start: float = 0.4, ours: float = 0.55, goal: float = 0.7) -> Accuracy:
    return lambda row, pair, seed: {"floor": start, "ours": ours}.get(row, goal)


def gaps(results: Results) -> dict[str, GapClosed]:
    return {row.row: row.gap for row in summarise(results).rows if row.gap is not None}


def test_the_share_is_of_means_over_pairs_and_its_ends_are_where_the_test_turns() -> None:
    results = between(level())
    found = gaps(results)["ours"]

    def mean(name: str) -> float:
        return fmean(run.uar for (row, _, _), run in results.runs.items() if row == name)

    assert found.share == pytest.approx((mean("ours") - mean("floor")) / (mean("all labels") - mean("floor")))
    assert found.interval is not None and found.interval.low < found.share < found.interval.high
    errors = Errors(results)
    for end in (found.interval.low, found.interval.high):
        tested = errors._estimate({"ours": 1.0, "floor": end - 1, "all labels": -end}, EVERY)
        assert tested is not None and tested.p == pytest.approx(ALPHA, abs=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_it_leaves_out_0_and_1_just_where_the_row_differs_from_an_end(seed: int) -> None:
    for share in (0.02, 0.15, 0.85, 1.05):
        results = between(level(ours=0.4 + 0.3 * share), seed=seed)
        interval, errors = gaps(results)["ours"].interval, Errors(results)
        assert interval is not None
        for value, name in ((0.0, "floor"), (1.0, "all labels")):
            difference = errors.difference("ours", name, EVERY)
            assert difference is not None and (interval.low <= value <= interval.high) == (difference.p >= ALPHA)


@pytest.mark.slow
def test_intervals_hold_the_truth() -> None:
    """Shares, draws, speakers and pairs that differ; a bound of four deviations below 95 % of 100."""
    held = 0
    for seed in range(100):
        shifts = dict(zip(SIX, np.random.default_rng(seed).normal(0, 0.05, len(SIX)), strict=True))

        def accuracy(row: str, pair: str, number: int, shifts: dict[str, float] = shifts) -> float:
            return {"floor": 0.45, "ours": 0.55}.get(row, 0.65) + shifts[pair] * (row != "floor")

        interval = gaps(between(accuracy, seeds=(0, 1, 2), speakers=8, seed=seed))["ours"].interval
        held += interval is not None and interval.low <= 0.5 <= interval.high
    assert held >= 87


@pytest.mark.parametrize("goal", [0.41, 0.4, 0.3])
def test_a_gap_that_is_small_or_negative_has_no_share(goal: float) -> None:
    results = between(level(goal=goal))
    assert {(each.share, each.interval) for each in gaps(results).values()} == {(None, None)}
    for format in ("terminal", "markdown", "latex"):
        assert "undefined" in render(build(results), format)
    row = next(row for row in csv.DictReader(io.StringIO(render(build(results), "csv"))) if row["row"] == "ours")
    assert (row["gap closed"], row["gap closed low"], row["gap closed high"]) == ("", "", "")


def test_a_gap_that_is_not_shown_has_no_share_and_one_seed_has_no_interval() -> None:
    noisy = between(
        lambda row, pair, seed: (0.45 if row == "all labels" else 0.4) + 0.2 * (row == "all labels") * (SIX.index(pair) % 2 * 2 - 1)
    )
    assert gaps(noisy)["ours"].share is None, "the goal is above the start on every other pair alone"
    single = gaps(between(level(), seeds=(0,)))
    assert single["ours"].share is not None and single["ours"].interval is None
    assert gaps(between(level(goal=0.41), seeds=(0,)))["ours"].share is None


def test_the_ends_are_0_and_100_and_a_row_that_is_the_start_closes_nothing() -> None:
    found = gaps(between(level()))
    assert (found["floor"].share, found["all labels"].share) == (0.0, pytest.approx(1.0))
    assert found["floor"].interval is None and found["all labels"].interval is None
    results = between(level())
    runs = {place: results.runs["floor", *place[1:]] if place[0] == "ours" else run for place, run in results.runs.items()}
    assert gaps(replace(results, runs=runs))["ours"].share == 0.0


def test_only_runs_that_all_three_have_count() -> None:
    without = [("ours", SIX[0], 0), ("floor", SIX[1], 1), ("all labels", SIX[2], 2)]
    results = between(level(), without=without)
    common = [(pair, seed) for pair in SIX for seed in range(5) if (pair, seed) not in {place[1:] for place in without}]
    runs = {place: run for place, run in results.runs.items() if place[1:] in common}
    one, other = gaps(results)["ours"], gaps(replace(results, runs=runs))["ours"]
    assert one.share == other.share and one.width == other.width


# a topline in tables


def topline(folder: Path, protocol: str = "full") -> Results:
    rows = [Row("source-only", "floor", ()), Row("ours", "method", ()), Row("theirs", "method", ()), ROWS[2]]
    levels = {"source-only": 0.4, "ours": 0.5, "theirs": 0.6, "all labels": 0.8}
    usual = default_protocol(Row("ours", "method", ()), "aa>bb").partition(" ")[2]

    def named(row: str, pair: str) -> str:
        return f"{pair} {usual}".replace("5-shot", protocol) if row == "all labels" else f"{pair} {usual}"

    plan = make_comparison(folder, rows, accuracy=levels, protocol=named, seeds=3)  # type: ignore[arg-type]
    replace(plan, gap=dict.fromkeys(levels, ("source-only", "all labels"))).write(folder)
    return read_results(folder)


def test_a_topline_has_a_place_and_a_mark_of_its_own_and_is_not_ranked(tmp_path: Path) -> None:
    results = topline(tmp_path)
    text = render(build(results), "markdown")
    line = next(line for line in text.splitlines() if line.startswith("| all labels §"))
    assert "**" not in line and "| 100.0 | - |" in line and "| - | 100.0 |" in line, "no rank"
    assert "§ all labels: a topline, not a method: full inductive" in text
    assert "gap closed, % | interval of it" in text and "5-shot inductive" in text.splitlines()[0] and "full" not in text.splitlines()[0]
    rows = {row["row"]: row for row in csv.DictReader(io.StringIO(render(build(results), "csv")))}
    assert rows["all labels"]["role"] == "topline" and rows["all labels"]["regime"] == "full"
    assert float(rows["ours"]["gap closed"]) < float(rows["theirs"]["gap closed"]) and rows["source-only"]["gap closed"] == "0.0"
    write_report(tmp_path)
    assert "all labels §" in (tmp_path / "report.html").read_text() and "gap closed" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("protocol", ["full", "20-shot", "5-shot from the same speakers", "20-shot from the same speakers"])
def test_a_topline_may_have_other_labels_of_the_source(tmp_path: Path, protocol: str) -> None:
    assert build(topline(tmp_path, protocol)).lines


@pytest.mark.parametrize("protocol", ["full transductive", "5-shot +5 source labels per class for selection"])
def test_and_nothing_else(tmp_path: Path, protocol: str) -> None:
    with pytest.raises(SereError) as caught:
        Source(topline(tmp_path, protocol))
    assert {problem.code for problem in caught.value.problems} == {"T508"}


# the comparison file

GAP = COMPARISON.replace(
    "floor: {losses: {adapt: null}}", "floor: {losses: {adapt: null}}\n  all: {losses: {adapt: null}, task: {shots: all}}"
)


def test_rows_close_the_gap_of_their_own_axes(home: Path) -> None:
    axes = "vary: {network.dim: [8, 16], losses.adapt.weight: [1, 2]}\ntopline: all\n"
    plan, folder = made(GAP.replace("reference: ours\n", "") + axes + "gap: {from: floor, to: all}\n")
    assert plan.gap["ours dim=8 weight=2"] == ("floor dim=8", "all dim=8")
    assert plan.gap["ours dim=16 weight=1"] == plan.gap["ceiling dim=16"] == ("floor dim=16", "all dim=16")
    assert [row.role for row in plan.rows if row.name.startswith("all")] == ["topline"] * 2
    assert ComparePlan.read(folder) == plan
    plan, _ = made(GAP + "gap: {from: floor, to: ceiling}\n")
    assert plan.gap["ours"] == ("floor", "ceiling") and {row.name: row.role for row in plan.rows}["all"] == "method"
    plan, _ = made(GAP + "gap: {from: floor, to: ours}\n")
    assert {row.name: row.role for row in plan.rows}["ours"] == "method", "a goal with the labels of the others stays a method"
    plan, _ = made(GAP.replace("floor: floor", "floor: [floor, all]") + "topline: all\n")
    assert {row.name: row.role for row in plan.rows}["all"] == "topline" and plan.gap == {}
    assert made(COMPARISON)[0].gap == {}


@pytest.mark.parametrize(
    ("gap", "code", "path", "words"),
    [
        ("{from: flor, to: all}", "C308", "gap.from", "did you mean 'floor'"),
        ("{from: floor, to: all}\ntopline: al", "C308", "topline", "did you mean 'all'"),
        ("{from: floor, to: al}", "C308", "gap.to", "did you mean 'all'"),
        ("{from: floor, to: floor}", "C311", "gap", "no row lies between"),
        ("{from: floor}", "C302", "gap.to", ""),
        ("{from: floor, to: all, too: all}", "C302", "gap.too", "to"),
        ("floor", "C302", "gap", ""),
    ],
)
def test_mistakes_have_a_code_and_a_place(home: Path, gap: str, code: str, path: str, words: str) -> None:
    Path("compare.yaml").write_text(GAP + f"gap: {gap}\n")
    with pytest.raises(SereError) as caught:
        plan_comparison("compare.yaml", Flags())
    (problem,) = caught.value.problems
    assert (problem.code, problem.place.path) == (code, path) and words in f"{problem.message} {problem.hint}"
    assert problem.place.line == len((GAP + "gap").splitlines()) + (path == "topline")


def test_a_plan_whose_gap_names_no_row_is_damaged(tmp_path: Path) -> None:
    topline(tmp_path)
    plan = json.loads((tmp_path / "plan.json").read_text())
    plan["gap"]["ours"] = ["source-only", "nobody"]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(SereError) as caught:
        ComparePlan.read(tmp_path)
    assert caught.value.problems[0].code == "T505"
