"""Paired tests: by hand on small cases, against scipy, their rate of false alarms, and what must not matter."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sere_core.compare.stats.paired import FLIPS, least, paired, sign_flip, wilcoxon

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


def test_one_run_says_nothing():
    found = paired([0.3], ["a"], [0])
    assert (found.p, found.p_least, found.std, found.effect, found.units) == (1.0, 1.0, None, None, 1)


def test_the_same_difference_everywhere_has_no_effect_size_but_a_p():
    found = paired([0.1] * 6, ["a"] * 6, range(6))
    assert found.p == least(6) == 2 / 64 and found.effect is None and found.rank_biserial == 1


def test_every_pair_weighs_the_same_though_runs_are_missing():
    found = paired([0.3, 0.1, 0.1, 0.1], ["a", "b", "b", "b"], [0, 1, 2, 3])
    assert found.difference == pytest.approx(0.2)
    assert (found.n, found.units, found.pairs) == (4, 4, 2)


def test_a_unit_is_flipped_as_one():
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


@given(values, st.randoms())
@settings(max_examples=60, deadline=None)
def test_order_and_direction_do_not_matter(numbers, random):
    places = list(range(len(numbers)))
    random.shuffle(places)
    pairs = [f"p{i % 3}" for i in range(len(numbers))]
    one = paired(numbers, pairs, range(len(numbers)))
    other = paired([-numbers[i] for i in places], [pairs[i] for i in places], places)
    assert other.difference == pytest.approx(-one.difference, abs=1e-12)
    assert other.p == pytest.approx(one.p, abs=1e-12) and other.p_wilcoxon == pytest.approx(one.p_wilcoxon, abs=1e-9)
    assert other.rank_biserial == pytest.approx(-one.rank_biserial, abs=1e-9)
    assert (other.wins, other.ties, other.losses) == (one.losses, one.ties, one.wins)


@given(values, st.floats(0.01, 100))
@settings(max_examples=60, deadline=None)
def test_scale_does_not_matter(numbers, factor):
    one, other = (paired([each * by for each in numbers], ["a"] * len(numbers), range(len(numbers))) for by in (1.0, factor))
    assert other.p == pytest.approx(one.p, abs=1e-12) and other.p_wilcoxon == pytest.approx(one.p_wilcoxon, abs=1e-9)
    assert other.difference == pytest.approx(factor * one.difference)
    assert (one.effect is None) == (other.effect is None)
