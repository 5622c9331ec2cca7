"""From results to verdicts: planted effects, nulls, copies, gaps, and what must not matter."""

from __future__ import annotations

import dataclasses
import math
import warnings

import numpy as np
import pytest

from sere_core.compare.plan import Row
from sere_core.compare.stats.significance import holm, sign_flip
from sere_core.compare.stats.summary import summarise, verdicts
from tests.compare.stats.synthetic import SIX, comparison


def numbers(data):
    """All floats in nested dataclasses, mappings and tuples."""
    if dataclasses.is_dataclass(data):
        data = {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}
    if isinstance(data, dict):
        data = list(data.values())
    if isinstance(data, (list, tuple)):
        return [number for each in data for number in numbers(each)]
    return [data] if isinstance(data, float) else []


def with_runs(results, runs):
    return dataclasses.replace(results, runs=runs)


def test_a_planted_effect_is_shown_and_its_copy_is_not():
    results = comparison(lambda row, pair, seed: 0.5 + 0.08 * (row == "ours"), rows=("floor", "ours", "copy"))
    copied = {place: results.runs["floor", *place[1:]] if place[0] == "copy" else run for place, run in results.runs.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = summarise(with_runs(results, copied))
    ours, copy = summary.verdicts
    assert ours.shown == "better" and ours.interval.low > 0 and 0.04 < ours.difference < 0.12
    assert (ours.n, ours.pairs) == (30, 6) and 0.015 < ours.detectable < 0.12
    assert (copy.shown, copy.p, copy.p_holm, copy.difference, copy.wins, copy.ties) == ("no difference shown", 1.0, 1.0, 0.0, 0, 30)
    assert (copy.interval, copy.detectable) == (None, None), "nothing varies, so nothing is known of the error"
    assert summary.row("ours").rank == min(row.rank for row in summary.rows) == 1.0


def test_each_row_pays_for_all_that_are_tested():
    lift = {"floor": 0.0, "b": 0.05, "c": 0.02, "d": 0.0}
    results = comparison(lambda row, pair, seed: 0.5 + lift[row], rows=tuple(lift))
    found = verdicts(results)
    assert [each.row for each in found] == ["b", "c", "d"]
    assert [each.p_holm for each in found] == pytest.approx(list(holm([each.p for each in found])))
    assert found[0].p_holm == pytest.approx(3 * min(each.p for each in found))
    (alone,) = verdicts(dataclasses.replace(results, plan=dataclasses.replace(results.plan, rows=results.plan.rows[:2])))
    assert alone.p_holm == alone.p == found[0].p and alone.detectable < found[0].detectable


def test_nothing_is_shown_of_rows_that_are_alike():
    """Forty comparisons of three rows that differ by chance alone: the promise is 5 % of them, for all rows together."""
    alarms = 0
    for seed in range(40):
        results = comparison(lambda *_: 0.55, rows=("floor", "b", "c"), seeds=(0, 1, 2), speakers=6, folds=3, per_class=3, seed=seed)
        alarms += any(each.shown in ("better", "worse") for each in verdicts(results))
    assert alarms <= 6


def test_swapping_row_and_reference_turns_everything_round():
    results = comparison(lambda row, pair, seed: 0.55 + 0.03 * (row == "ours"))
    other = dataclasses.replace(results, plan=dataclasses.replace(results.plan, reference="ours"))
    one, back = verdicts(results)[0], verdicts(other)[0]
    assert verdicts(comparison(lambda row, pair, seed: 0.6 - 0.08 * (row == "ours")))[0].shown == "worse"
    assert back.difference == pytest.approx(-one.difference)
    assert (back.p, back.p_pairs, back.wins, back.losses) == (pytest.approx(one.p), one.p_pairs, one.losses, one.wins)
    assert (back.interval.low, back.interval.high) == (pytest.approx(-one.interval.high), pytest.approx(-one.interval.low))


def test_only_shared_runs_are_compared_and_the_others_are_named():
    gaps = [("ours", "aa>bb", 1), ("floor", "bb>aa", 0), *(("ours", "aa>cc", seed) for seed in range(5))]
    results = comparison(lambda *_: 0.55, without=gaps)
    summary = summarise(results)
    assert summarise(with_runs(results, dict(reversed(results.runs.items())))) == summary, "the order of runs does not matter"
    verdict, ours = summary.verdicts[0], summary.row("ours")
    assert set(verdict.missing) == {place[1:] for place in gaps}
    assert (verdict.n, verdict.pairs) == (23, 5)
    assert "aa>cc" not in ours.pairs and not ours.complete and ours.pairs["aa>bb"].missing == (1,)
    assert any("missing" in line and "ours" in line for line in summary.notes)


def test_a_row_without_runs_has_no_verdict_and_does_not_disturb_the_others():
    gaps = [("ours", pair, seed) for pair in SIX for seed in range(5)]
    results = comparison(lambda row, pair, seed: 0.5 + 0.1 * (row == "theirs"), rows=("floor", "ours", "theirs"), without=gaps)
    summary = summarise(results)
    ours = summary.verdict("ours")
    assert (ours.difference, ours.interval, ours.p, ours.n, ours.shown) == (None, None, 1.0, 0, "no difference shown")
    assert summary.row("ours").mean is None and summary.row("ours").rank is None
    assert summary.verdict("theirs").shown == "better"
    nothing = summarise(with_runs(results, {}))
    assert all(row.mean is None and row.rank is None for row in nothing.rows) and nothing.verdict("floor") is None


@pytest.mark.parametrize(("pairs", "seeds", "speakers"), [(("aa>bb",), (0,), 4), (("aa>bb",), (0, 1, 2), 1), (("aa>bb", "bb>aa"), (0,), 2)])
def test_small_comparisons_have_gaps_but_no_nan(pairs, seeds, speakers):
    results = comparison(lambda *_: 0.5, rows=("floor", "b", "c"), pairs=pairs, seeds=seeds, speakers=speakers, folds=min(speakers, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = summarise(results)
    assert all(math.isfinite(number) for number in numbers(summary))
    assert {each.shown for each in summary.verdicts} == {"no difference shown"}
    assert (summary.verdicts[0].interval is None) == (len(seeds) == 1 or speakers == 1)
    assert (summary.rows[0].interval is None) == (speakers == 1)
    assert (summary.rows[0].pairs["aa>bb"].uar.std is None) == (len(seeds) == 1)


def test_a_row_is_summed_up():
    pairs = ("aa>aa", "aa>bb", "bb>aa")
    rows = (Row("floor", "floor", ()), Row("ours", "method", ()), Row("ceiling", "ceiling", ()))
    results = comparison(lambda row, pair, seed: 0.9 if pair == "aa>aa" else 0.5, rows=rows, pairs=pairs)
    summary = summarise(results)
    row = summary.row("ours")
    by_pair = [np.mean([results.runs["ours", pair, seed].uar for seed in range(5)]) for pair in pairs]
    assert row.mean.mean == pytest.approx(np.mean(by_pair)) and row.mean.n == 3
    assert set(row.recall) == {"anger", "fear", "happiness", "neutral", "sadness"} and set(row.genders) == {"female", "male"}
    assert (row.seconds, row.phases, row.peak_mib, row.parameters) == (3.0, {"train": 2.0, "score": 1.0}, 100.0, 1000.0)
    assert row.interval.low < row.mean.mean < row.interval.high and row.interval.n == 24
    assert row.rank is not None and summary.row("ceiling").rank is None
    assert summary.chance == dict.fromkeys(pairs, 0.2)
    cell = row.pairs["aa>bb"]
    assert list(cell.by_seed) == [0, 1, 2, 3, 4] and cell.interval.n == 12


def test_pair_means_have_a_test_of_their_own():
    results = comparison(lambda row, pair, seed: 0.5 + 0.05 * (row == "ours"))
    (verdict,) = verdicts(results)
    runs = {place[1:]: run.uar - results.runs["floor", *place[1:]].uar for place, run in results.runs.items() if place[0] == "ours"}
    means = [np.mean([value for (each, _), value in runs.items() if each == pair]) for pair in SIX]
    assert (verdict.n, verdict.p_pairs) == (30, sign_flip(np.array(means)))
    assert verdict.difference == pytest.approx(np.mean(means))


def test_a_run_that_scored_nothing_in_a_fold_is_left_out():
    results = comparison(lambda row, pair, seed: 0.5 + 0.3 * (row == "ours"))
    place = ("ours", "aa>bb", 0)
    confusion = results.runs[place].confusion.copy()
    confusion[0] = 0
    summary = summarise(with_runs(results, {**results.runs, place: dataclasses.replace(results.runs[place], confusion=confusion)}))
    assert summary.verdicts[0].missing == (place[1:],) and summary.verdicts[0].shown == "better"
    assert all(math.isfinite(number) for number in numbers(summary))
