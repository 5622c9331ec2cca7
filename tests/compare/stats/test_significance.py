"""Tests, corrections, ranks and power: by hand on small cases, against scipy and tables, and their rates of false alarms."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sere_core.compare.stats.significance import FLIPS, holm, least, paired, rank_rows, sign_flip, smallest_detectable, wilcoxon
from sere_core.compare.stats.summary import spread
from sere_core.score.interval import expanded_percentile, fold_mean_uar

values = st.lists(st.integers(-50, 50).map(lambda each: each / 100), min_size=1, max_size=24)


def enumerated(numbers):
    """The definition: every sign pattern."""
    patterns = np.array(list(itertools.product((1, -1), repeat=len(numbers))))
    sums = np.abs(patterns @ np.asarray(numbers))
    return float((sums >= abs(sum(numbers)) - 1e-12).mean())


@pytest.mark.parametrize("numbers", [[1, 2, 3], [1, -2, 3, 4], [0.1, 0.1, -0.1, 0.2, 0.3, 0.0], [5], [-1, 1]])
def test_sign_flip_is_the_enumeration(numbers):
    assert sign_flip(np.array(numbers, dtype=float)) == enumerated(numbers)


def test_sign_flip_equals_scipy_exact_and_at_random():
    generator = np.random.default_rng(0)
    for size in (8, 30):
        sample = generator.normal(0.2, 1, size)
        expected = stats.permutation_test(
            (sample,), np.mean, permutation_type="samples", n_resamples=FLIPS, alternative="two-sided", rng=np.random.default_rng(1)
        ).pvalue
        assert sign_flip(sample) == pytest.approx(expected, abs=1e-12 if size == 8 else 0.015)


def test_wilcoxon_and_effects_equal_their_definitions():
    sample = np.array([0.03, -0.01, 0.05, 0.02, 0.07, -0.04, 0.06])
    assert wilcoxon(sample)[0] == pytest.approx(stats.wilcoxon(sample, method="exact").pvalue)
    longer = np.random.default_rng(0).normal(0.2, 1, 40)
    assert wilcoxon(longer)[0] == pytest.approx(stats.wilcoxon(longer).pvalue)
    tied = np.array([1.0, 1.0, -1.0, 2.0, 2.0, 3.0])
    assert wilcoxon(tied)[0] == enumerated([2, 2, -2, 4.5, 4.5, 6])
    found = paired(sample, ["a"] * 7, range(7))
    assert found.effect == pytest.approx(sample.mean() / sample.std(ddof=1))
    assert wilcoxon(sample)[1] == pytest.approx((3 + 5 + 2 + 7 + 6 - 1 - 4) / 28)
    assert (found.wins, found.ties, found.losses) == (5, 0, 2)


def test_copies_give_p_one_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = paired([1e-12, 0.0, -1e-11, 0.0], ["a", "a", "b", "b"], [0, 1, 2, 3])
    assert (found.p, found.p_wilcoxon, found.effect, found.rank_biserial, found.difference) == (1.0, 1.0, None, 0.0, 0.0)
    assert (found.wins, found.ties, found.losses) == (0, 4, 0)


def test_one_run_says_nothing_and_equal_differences_have_no_effect_size():
    found = paired([0.3], ["a"], [0])
    assert (found.p, found.p_least, found.std, found.effect, found.units) == (1.0, 1.0, None, None, 1)
    found = paired([0.1] * 6, ["a"] * 6, range(6))
    assert found.p == least(6) == 2 / 64 and found.effect is None and found.rank_biserial == 1


def test_every_pair_weighs_the_same_and_a_unit_is_flipped_as_one():
    found = paired([0.3, 0.1, 0.1, 0.1], ["a", "b", "b", "b"], [0, 1, 2, 3])
    assert found.difference == pytest.approx(0.2)
    assert (found.n, found.units, found.pairs) == (4, 4, 2)
    apart = paired([0.1, 0.2, 0.1, 0.3], ["a", "a", "b", "b"], [0, 1, 2, 3])
    together = paired([0.1, 0.2, 0.1, 0.3], ["a", "a", "b", "b"], [0, 0, 1, 1])
    assert (apart.p, together.p) == (2 / 16, 2 / 4)
    assert together.std == pytest.approx(np.std([0.15, 0.2], ddof=1))


def test_no_difference_is_found_where_there_is_none_more_often_than_promised():
    generator = np.random.default_rng(7)
    found = [sign_flip(generator.standard_t(3, 12)) < 0.05 for _ in range(1500)]
    assert 0.03 <= np.mean(found) <= 0.07


def test_runs_that_share_their_shots_must_be_flipped_together():
    """Three sources, five seeds, two targets each: what a draw of shots does to one row shows in both targets."""
    generator = np.random.default_rng(5)
    draws, pairs = np.repeat(np.arange(15), 2), [f"{i // 10}>{i % 2}" for i in range(30)]
    alarms = np.zeros(2)
    for _ in range(800):
        shared = generator.normal(0, 1, 15)[draws] + generator.normal(0, 0.3, 30)
        alarms += [paired(shared, pairs, units).p < 0.05 for units in (list(draws), range(30))]
    by_draw, by_run = alarms / 800
    assert 0.03 <= by_draw <= 0.075
    assert by_run > 0.1, "taking such runs as independent is what the default must not do"


@given(values, st.randoms(), st.floats(0.01, 100))
@settings(max_examples=60, deadline=None)
def test_order_direction_and_scale_do_not_matter(numbers, random, factor):
    places = list(range(len(numbers)))
    random.shuffle(places)
    pairs = [f"p{i % 3}" for i in range(len(numbers))]
    one = paired(numbers, pairs, range(len(numbers)))
    other = paired([-factor * numbers[i] for i in places], [pairs[i] for i in places], places)
    assert other.difference == pytest.approx(-factor * one.difference, abs=1e-10)
    assert other.p == pytest.approx(one.p, abs=1e-12) and other.p_wilcoxon == pytest.approx(one.p_wilcoxon, abs=1e-9)
    assert other.rank_biserial == pytest.approx(-one.rank_biserial, abs=1e-9)
    assert (other.wins, other.ties, other.losses) == (one.losses, one.ties, one.wins)
    assert (one.effect is None) == (other.effect is None)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_plain_values_and_bonferroni_and_keeps_the_order(values):
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02)) and holm([]) == ()
    found = holm(values)
    assert all(p <= q <= min(1.0, len(values) * p) + 1e-12 for p, q in zip(values, found, strict=True))
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(found)[order]) >= 0).all()


def test_holm_keeps_the_family_at_five_percent():
    generator = np.random.default_rng(2)
    alarms = [min(holm(list(generator.random(8)))) < 0.05 for _ in range(3000)]
    assert 0.035 <= np.mean(alarms) <= 0.065


def test_nemenyi_is_the_table_of_demsar():
    """q at 0.05 for 2 to 10 classifiers, Demsar 2006, table 5a."""
    table = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
    for k, q in table.items():
        found = rank_rows(np.zeros((k, 7)), [str(i) for i in range(k)], [str(i) for i in range(7)])
        assert found.critical / np.sqrt(k * (k + 1) / 42) == pytest.approx(q, abs=2e-3)


def test_ranks_friedman_and_groups():
    generator = np.random.default_rng(0)
    scores = generator.normal(0, 1, (4, 60)).round(1) + np.array([0.0, 3.0, 0.2, 9.0])[:, None]
    found = rank_rows(scores, ["a", "b", "c", "d"], [str(i) for i in range(60)])
    assert found.rows[:2] == ("d", "b")
    assert found.friedman_p == pytest.approx(stats.friedmanchisquare(*scores).pvalue)
    assert found.groups == ((found.rows[2], found.rows[3]),)
    assert sum(found.average) == pytest.approx(4 * 5 / 2)


def test_groups_overlap_but_none_is_inside_another_and_small_comparisons_have_ranks():
    found = rank_rows(np.array([[5.0] * 4, [4.0] * 4, [3.0] * 4, [2.0] * 4]), list("abcd"), list("1234"))
    assert 2 < found.critical < 3
    assert found.groups == (("a", "b", "c"), ("b", "c", "d"))
    found = rank_rows(np.full((3, 5), 0.5), list("abc"), list("12345"))
    assert (found.average, found.friedman_p, found.groups) == ((2.0, 2.0, 2.0), 1.0, (("a", "b", "c"),))
    found = rank_rows(np.array([[0.1], [0.2]]), ["a", "b"], ["x"])
    assert (found.rows, found.friedman_p) == (("b", "a"), None)


@pytest.mark.parametrize(("n", "alpha"), [(6, 0.05), (15, 0.01), (40, 0.05 / 41), (400, 0.05)])
def test_detectable_is_what_a_t_test_finds(n, alpha):
    edge = stats.t.ppf(1 - alpha / 2, n - 1)
    shift = np.sqrt(n) * smallest_detectable(1.0, n, alpha)
    assert stats.ncf.sf(edge**2, 1, n - 1, shift**2) == pytest.approx(0.8, abs=1e-4)
    assert smallest_detectable(0.04, n, alpha) == pytest.approx(0.04 * shift / np.sqrt(n))


def test_the_detectable_difference_is_found_four_times_in_five():
    generator = np.random.default_rng(4)
    shift = smallest_detectable(1.0, 15, 0.05)
    found = np.mean([sign_flip(generator.normal(shift, 1, 15)) < 0.05 for _ in range(600)])
    assert 0.74 <= found <= 0.86
    assert smallest_detectable(0.02, 6, 0.05) is not None, "nothing is, where the permutation test cannot reach alpha"
    assert [smallest_detectable(0.02, 6, 0.05 / 2), smallest_detectable(0.02, 1, 0.05), smallest_detectable(0.0, 30, 0.05)] == [None] * 3


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: spread([]),
        lambda: spread([float("nan")]),
        lambda: holm([1.2]),
        lambda: rank_rows(np.array([[0.1], [np.nan]]), ["a", "b"], ["x"]),
        lambda: paired([], [], []),
        lambda: paired([0.1], [], []),
        lambda: paired([float("nan")], ["a"], [0]),
        lambda: expanded_percentile([], []),
        lambda: fold_mean_uar(np.ones((1, 1)), np.array([[[[1, 1], [0, 2]]], [[[2, 2], [1, 3]]]]), [0]),
    ],
)
def test_what_is_no_number_and_runs_on_other_utterances_are_refused(wrong):
    with pytest.raises(ValueError, match=r"finite|p-values|at least one|same utterances"):
        wrong()
