"""Corrections and tests: by hand on small cases, against scipy, and their rates of false alarms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sere_core.compare.stats.significance import average_ranks, holm, sign_flip
from sere_core.compare.stats.summary import spread


def enumerated(numbers):
    """The definition: every sign pattern."""
    patterns = np.array(list(itertools.product((1, -1), repeat=len(numbers))))
    sums = np.abs(patterns @ np.asarray(numbers))
    return float((sums >= abs(sum(numbers)) - 1e-12).mean())


@pytest.mark.parametrize("numbers", [[1, 2, 3], [1, -2, 3, 4], [0.1, 0.1, -0.1, 0.2, 0.3, 0.0], [-1, 1], [1] * 6, [0.3] * 12])
def test_sign_flip_is_the_enumeration(numbers):
    assert sign_flip(np.array(numbers, dtype=float)) == pytest.approx(enumerated(numbers))


def test_sign_flip_of_one_unit_of_copies_and_of_many():
    assert sign_flip(np.array([0.3])) == sign_flip(np.zeros(6)) == sign_flip(np.array([1e-12, -1e-11])) == 1.0
    many = np.random.default_rng(0).normal(0.4, 1, 30)
    assert sign_flip(many) == sign_flip(-many) or sign_flip(many) == pytest.approx(sign_flip(-many), abs=0.01)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
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


def test_average_ranks_share_ties_and_give_1_to_the_best():
    found = average_ranks(np.array([[0.9, 0.5, 0.7], [0.8, 0.5, 0.7], [0.1, 0.6, 0.7 + 1e-14]]))
    np.testing.assert_allclose(found, [(1 + 2.5 + 2) / 3, (2 + 2.5 + 2) / 3, (3 + 1 + 2) / 3])


@pytest.mark.parametrize("wrong", [lambda: spread([]), lambda: spread([float("nan")]), lambda: holm([1.2]), lambda: holm([float("nan")])])
def test_what_is_no_number_is_refused(wrong):
    with pytest.raises(ValueError, match=r"finite|p-values"):
        wrong()
