"""The one error of draws, speakers and pairs: by hand on small cases, its level, and no verdict without evidence."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.verdicts import Scenario, of_runs, simulate
from sere_core.compare.plan import Row
from sere_core.compare.stats.error import Errors, Estimate
from sere_core.compare.stats.summary import summarise, verdicts
from sere_core.score.interval import by_speaker, by_utterance, uar_interval, variance
from sere_core.score.metrics import uar
from tests.compare.stats.synthetic import SIX, comparison, counts, facts

EVERY = dict.fromkeys(SIX, (0, 1, 2, 3, 4))


def test_influences_are_the_derivative_of_the_score_by_a_speakers_weight():
    generator = np.random.default_rng(3)
    by = generator.integers(1, 9, size=(12, 3, 3))
    folds = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    by[4:8] = by[8:] = by[:4]  # every fold is alike, so recall over folds is that of each
    step = 1e-6

    def score(weights):
        return np.mean([uar((weights[:, None, None] * by)[np.array(folds) == fold].sum(axis=0)) for fold in range(3)])

    expected = [(score(np.ones(12) + step * np.eye(12)[s]) - score(np.ones(12))) / step for s in range(12)]
    np.testing.assert_allclose(by_speaker(by, folds), expected, atol=1e-6)


def test_a_class_that_a_fold_lacks_is_left_out_of_it():
    by = np.array([[[2, 2], [0, 0]], [[4, 0], [0, 0]], [[1, 1], [1, 1]], [[2, 0], [0, 2]]])
    found = by_speaker(by, [0, 0, 1, 1])
    # recall of the first class over all: 9 of 12, of the second: 3 of 4
    expected = [(2 - 4 * 0.75) / 8 / 2, (4 - 4 * 0.75) / 8 / 2]
    expected += [((1 - 2 * 0.75) + (1 - 2 * 0.75)) / 4 / 2 / 2, ((2 - 2 * 0.75) + (2 - 2 * 0.75)) / 4 / 2 / 2]
    np.testing.assert_allclose(found, expected)


def test_utterances_have_the_variance_of_binomial_recalls():
    found = np.concatenate(by_utterance(np.array([[6, 4], [5, 15]])))
    assert (found**2).sum() == pytest.approx((0.6 * 0.4 / 10 + 0.75 * 0.25 / 20) / 4)
    assert variance(np.array([1.0])) != variance(np.array([1.0])), "one cluster has no variance"


def test_one_pair_is_two_crossed_factors_by_hand():
    results = comparison(lambda row, pair, seed: 0.6, pairs=["aa>bb"])
    seeds = range(5)
    runs = [[results.runs[row, "aa>bb", seed] for seed in seeds] for row in ("ours", "floor")]
    uars = np.array([one.uar - other.uar for one, other in zip(*runs, strict=True)])
    found = Errors(results).difference("ours", "floor", {"aa>bb": tuple(seeds)})
    each = np.array([
        by_speaker(one.by_speaker, one.speaker_folds) - by_speaker(other.by_speaker, other.speaker_folds)
        for one, other in zip(*runs, strict=True)
    ])  # fmt: skip
    speakers = 12 / 11 * (each.mean(axis=0) ** 2).sum()
    draws = uars.var(ddof=1) / 5
    both = 12 / 11 * ((each - each.mean(axis=0)) ** 2).sum() / 20
    assert found.mean == pytest.approx(uars.mean())
    expected = max(speakers + draws - both, speakers / 2, draws / 2)
    assert found.variance == pytest.approx(expected)
    assert found.freedom == pytest.approx(max(expected**2 / (speakers**2 / 11 + draws**2 / 4), 4))


def test_pairs_that_differ_widen_the_error_to_that_of_pairs_as_the_unit():
    """Differences of 0 and 20 points by pair: next to them, draws and speakers are nothing."""
    results = comparison(lambda row, pair, seed: 0.5 + 0.2 * (row == "ours" and pair in SIX[:3]), per_class=200)
    found = Errors(results).difference("ours", "floor", EVERY)
    means = [np.mean([results.runs["ours", p, s].uar - results.runs["floor", p, s].uar for s in range(5)]) for p in SIX]
    assert found.variance == pytest.approx(0.95 * np.var(means, ddof=1) / 6, rel=0.05)
    assert 4.5 <= found.freedom < 7
    row = Errors(results).row("ours", EVERY)
    assert row.variance < found.variance / 4, "the interval of a row is over these pairs"


def test_p_and_interval_and_equivalence_are_one_error():
    error = Estimate(0.011, 0.004**2, 9.0, "speakers", 40)
    assert error.p == pytest.approx(2 * stats.t.sf(0.011 / 0.004, 9))
    for mean in np.linspace(-0.02, 0.02, 41):
        each = dataclasses.replace(error, mean=float(mean))
        low, high = each.interval.low, each.interval.high
        assert (each.p < 0.05) == (low > 0 or high < 0)
        inner = 0.004 * stats.t.ppf(0.95, 9)
        assert (each.p_equivalent(0.02) < 0.05) == (abs(mean) + inner < 0.02), "the 90 % interval lies within the margin"


@pytest.mark.parametrize(("freedom", "alpha"), [(5.0, 0.05), (14.0, 0.05 / 14)])
def test_the_least_that_is_shown_is_shown_with_80_percent_power(freedom, alpha):
    error = Estimate(0.0, 0.01**2, freedom, "speakers", 40)
    delta = error.detectable(alpha) / 0.01
    edge = stats.t.ppf(1 - alpha / 2, freedom)
    assert stats.nct.sf(edge, freedom, delta) + stats.nct.cdf(-edge, freedom, delta) == pytest.approx(0.8, abs=1e-4)


def test_verdicts_are_corrected_for_all_rows_and_equivalence_is_one_of_its_own():
    rows = ("floor", "much", "alike", "little")
    results = comparison(
        lambda row, pair, seed: 0.5 + {"much": 0.15, "little": 0.02}.get(row, 0.0), rows=rows, speakers=30, folds=5, per_class=20, seed=1
    )
    found = {each.row: each for each in verdicts(results)}
    assert found["much"].shown == "better" and found["alike"].shown == "equivalent"
    assert all(each.p_holm >= each.p for each in found.values())
    assert all((each.p < 0.05) == (each.interval.low > 0 or each.interval.high < 0) for each in found.values())
    narrow = dataclasses.replace(results, plan=dataclasses.replace(results.plan, margin=0.01))
    assert {each.row: each.shown for each in verdicts(narrow)}["alike"] == "no difference shown"


def no_verdict(results):
    summarise(results)
    (found,) = verdicts(results)
    assert found.shown == "no difference shown" and found.interval is None and found.detectable is None
    assert (found.p, found.p_holm, found.p_equivalent) == (1.0, 1.0, 1.0)
    return found


def test_no_verdict_without_evidence():
    better = lambda row, pair, seed: 0.4 + 0.4 * (row == "ours")  # noqa: E731
    assert no_verdict(comparison(better, seeds=[0])).difference > 0.2
    assert no_verdict(comparison(better, speakers=1, folds=1)).difference > 0.2
    twin = comparison(lambda row, pair, seed: 0.6)
    same = {(row, *place): twin.runs["ours", *place] for row, *place in twin.runs}
    found = no_verdict(dataclasses.replace(twin, runs=same))
    assert (found.difference, found.p_pairs, found.wins, found.ties, found.losses) == (0.0, 1.0, 0, 30, 0)
    perfect = no_verdict(comparison(lambda row, pair, seed: 2.0 if row == "ours" else -2.0))
    assert perfect.difference == 1.0, "nothing varies, so nothing is known of the error"
    assert no_verdict(comparison(better, without=[("ours", pair, seed) for pair in SIX for seed in range(5)])).difference is None


def test_one_pair_two_pairs_and_missing_runs_have_verdicts_of_their_own():
    better = lambda row, pair, seed: 0.4 + 0.4 * (row == "ours")  # noqa: E731
    one, two = (verdicts(comparison(better, pairs=SIX[:count]))[0] for count in (1, 2))
    assert one.shown == "better" and one.p_pairs == 1.0 and two.shown == "better"
    assert any("1 pair alone" in line for line in summarise(comparison(better, pairs=SIX[:1])).notes)
    holes = [("ours", "aa>bb", 0), ("ours", "aa>bb", 1), ("ours", "aa>bb", 2), ("ours", "aa>bb", 3), ("floor", "cc>bb", 4)]
    found = verdicts(comparison(better, without=holes))[0]
    assert found.shown == "better" and len(found.missing) == 5 and found.n == 25
    ceiling = Row("ceiling", "ceiling", ("losses",))
    assert verdicts(comparison(lambda row, pair, seed: 0.6, rows=("floor", ceiling)))[0].interval is not None


def test_unknown_speakers_are_cautious():
    known, unknown = (comparison(lambda row, pair, seed: 0.6, known=each) for each in (True, False))
    (one,), (other,) = verdicts(known), verdicts(unknown)
    assert one.interval.how == "speakers" and other.interval.how == "utterances" and other.interval.n == 3 * 12 * 5 * 6
    assert other.interval.high - other.interval.low > one.interval.high - one.interval.low


def test_differences_are_paired_by_speaker():
    """Both rows suffer from the same hard speakers: the error of their difference is smaller than unpaired ones would give."""
    results = comparison(lambda row, pair, seed: 0.6 + 0.05 * (row == "ours"), pairs=["aa>bb"])
    errors, places = Errors(results), {"aa>bb": (0, 1, 2, 3, 4)}
    apart = errors.row("ours", places).variance + errors.row("floor", places).variance
    assert errors.difference("ours", "floor", places).variance < 0.6 * apart


@pytest.mark.parametrize("scenario", [
    Scenario("draws", rows=5), Scenario("speakers", rows=5, speaker=4.2), Scenario("pairs", rows=5, pair=2.1),
], ids=lambda each: each.name)  # fmt: skip
def test_no_difference_is_shown_where_there_is_none_more_often_than_promised(scenario):
    tables = 40
    found = [verdicts(simulate(scenario, number)) for number in range(tables)]
    false = sum(any(each.shown in ("better", "worse") for each in table) for table in found)
    covered = np.mean([each.interval.low <= 0 <= each.interval.high for table in found for each in table])
    assert stats.binom.sf(false - 1, tables, 0.06) > 0.01
    assert 0.91 <= covered <= 0.995


@pytest.mark.parametrize("corpus", ["emodb", "emovo", "ravdess"])
def test_the_interval_of_a_run_covers_the_population_of_speakers(corpus):
    assert 92 <= of_runs(8.0, corpus, True, 400) <= 98


def test_a_run_of_one_speaker_and_a_perfect_run_have_no_interval():
    def scores(by):
        folds = [{"fold": index, "speakers": [{"confusion": each}]} for index, each in enumerate(by.tolist())]
        return {"folds": folds, "pooled": {"confusion": by.sum(axis=0)}, "mean": {"uar": 0.5}}

    drawn = counts(np.random.default_rng(0), np.full((6, 5), 0.6), 5)
    assert uar_interval(scores(drawn[:1])) is None
    assert uar_interval(scores(counts(np.random.default_rng(0), np.full((6, 5), 1.0), 5))) is None
    found = uar_interval(scores(drawn))
    assert found.how == "speakers" and found.n == 6 and 0 <= found.low < 0.5 < found.high <= 1
    assert math.isclose(facts(drawn, range(6)).uar, np.mean([uar(each) for each in drawn]))


def test_a_difference_from_a_ceiling_is_the_same_either_way():
    """Each row's draws are shared by its own side of the pairs: what the target's add is there, and so is what the source's add."""
    rows = ("floor", Row("ceiling", "ceiling", ("losses",)))
    luck = dict(zip([(side, corpus, seed) for side in (0, 1) for corpus in ("aa", "bb", "cc") for seed in range(5)],
                    np.random.default_rng(2).normal(0, 0.08, 30), strict=True))  # fmt: skip

    def accuracy(row, pair, seed):
        side = int(row == "ceiling")
        return 0.6 + luck[side, pair.split(">")[side], seed]

    errors = Errors(comparison(accuracy, rows=rows, per_class=40))
    one, other = errors.difference("ceiling", "floor", EVERY), errors.difference("floor", "ceiling", EVERY)
    assert one.mean == pytest.approx(-other.mean) and one.variance == pytest.approx(other.variance)
    assert one.freedom == pytest.approx(other.freedom) and one.p == pytest.approx(other.p)
    alone = [errors._shared_draws({row: 1.0}, EVERY) for row in ("floor", "ceiling")]
    assert min(alone) > 0 and errors._shared_draws({"floor": 1.0, "ceiling": -1.0}, EVERY) == pytest.approx(sum(alone))
