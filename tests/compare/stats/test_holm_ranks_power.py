"""Holm, ranks and power against definitions, tables and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sere_core.compare.stats.bootstrap import expanded_percentile, fold_mean_uar
from sere_core.compare.stats.paired import holm, paired, sign_flip, smallest_detectable
from sere_core.compare.stats.ranks import rank_rows
from sere_core.compare.stats.summary import spread


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([]) == ()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_plain_values_and_bonferroni_and_keeps_the_order(values):
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


def test_nothing_is_detectable_where_the_permutation_test_cannot_reach_alpha():
    assert smallest_detectable(0.02, 6, 0.05) is not None
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
