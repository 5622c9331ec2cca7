"""Verdicts become sentences that say no more than the verdicts do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sere_core.compare.reading import read_results
from sere_core.compare.report.words import headline, sentence
from sere_core.compare.stats.summary import Verdict, summarise
from sere_core.score.interval import Interval
from tests.compare.made_up import make_comparison

PLAIN = Verdict(
    row="theirs", reference="ours", difference=-0.031, interval=Interval(-0.05, -0.012, "speakers", 20), p=0.001, p_holm=0.004,
    p_pairs=0.2, pairs=6, wins=3, ties=1, losses=14, shown="worse", detectable=0.02,
)  # fmt: skip


def test_what_is_shown_is_said_with_its_size() -> None:
    said = sentence(PLAIN, 2.0)
    assert said.startswith("Worse than ours: −3.1 points (95 % interval −5.0 to −1.2; p\u00a0=\u00a00.004 after Holm's correction; ")
    assert "3 won, 14 lost, 1 tied of 18 runs" in said and "smallest" not in said
    assert sentence(replace(PLAIN, missing=(("aa>bb", 1),)), 2.0).endswith("1 run.")
    assert "nothing can be said" in sentence(replace(PLAIN, difference=None, interval=None), 2.0)
    assert "nothing is shown" in sentence(replace(PLAIN, interval=None, detectable=None), 2.0)
    assert "shown: +0.0 points" in sentence(replace(PLAIN, difference=-0.0, interval=None), 2.0), "no minus before nothing"
    assert sentence(replace(PLAIN, shown="equivalent"), 1.5).startswith("Equivalent to ours within 1.5 points: −3.1 points")


def test_what_is_not_shown_is_not_called_equal() -> None:
    said = sentence(replace(PLAIN, shown="no difference shown", p_holm=0.3), 2.0)
    assert said.startswith("No difference from ours shown: −3.1 points")
    assert "80 % power is 2.0 points." in said
    assert not any(word in said for word in ("equal", "same", "alike"))


def test_the_headline_speaks_of_the_floor_and_of_the_others(tmp_path: Path) -> None:
    accuracy = {"source-only": 0.4, "ours": 0.8, "theirs": 0.45, "twin": 0.8}
    make_comparison(tmp_path, tuple(accuracy), 4, 5, accuracy=accuracy, reference="ours")
    summary = summarise(read_results(tmp_path))
    first, second = headline(summary)
    assert first.startswith("ours is better than source-only, the floor (+")
    assert second == "Of 2 other methods against ours: 1 worse, 1 equivalent."
    untested = replace(
        summary, verdicts=tuple(replace(verdict, interval=None, shown="no difference shown") for verdict in summary.verdicts)
    )
    first, second = headline(untested)
    assert first.startswith("ours is untested against source-only, the floor (+")
    assert second == "Of 2 other methods against ours: 2 untested."
    make_comparison(tmp_path / "floor", ("source-only", "ours"), 2, 2)
    assert headline(summarise(read_results(tmp_path / "floor")))[0].startswith("The reference, source-only, is the floor")
