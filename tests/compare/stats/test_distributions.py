"""The distributions against scipy.stats, which is not imported to make a table."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from sere_core.compare.stats.bootstrap import binomial_recalls
from sere_core.compare.stats.distributions import average_ranks, detectable_shift, friedman_p, range_quantile, signed_rank_p

numbers = st.lists(st.integers(-30, 30).filter(bool).map(float), min_size=21, max_size=70)


@given(numbers)
@settings(max_examples=60, deadline=None)
def test_ranks_and_wilcoxon_with_ties(values):
    sample = np.array(values)
    assert (average_ranks(sample) == stats.rankdata(sample)).all()
    assert signed_rank_p(sample) == pytest.approx(min(1.0, stats.wilcoxon(sample).pvalue), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("size", [1, 2, 7, 21, 50, 51, 120])
def test_wilcoxon_without_ties(size):
    for shift in (0.0, 0.5, -3.0):
        sample = np.random.default_rng(size).normal(shift, 1, size)
        assert signed_rank_p(sample) == pytest.approx(stats.wilcoxon(sample).pvalue, rel=1e-9)


def test_the_range_of_normals():
    for k in (2, 5, 40):
        assert range_quantile(0.95, k) == pytest.approx(stats.studentized_range.ppf(0.95, k, np.inf), rel=1e-9)


@pytest.mark.parametrize(("n", "alpha"), [(6, 0.05), (15, 0.01), (40, 0.05 / 41), (500, 0.05)])
def test_what_a_t_test_detects(n, alpha):
    edge = stats.t.ppf(1 - alpha / 2, n - 1)
    expected = brentq(lambda shift: stats.ncf.sf(edge**2, 1, n - 1, shift**2) - 0.8, 0, 2 * edge + 10)
    assert detectable_shift(n, alpha, 0.8) == pytest.approx(expected, rel=1e-9)


@given(st.integers(3, 6), st.integers(2, 12), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_friedman_with_ties(k, n, seed):
    scores = np.random.default_rng(seed).integers(0, 4, (k, n)).astype(float)
    scores[0, 0] = 9.0  # not all is one tie
    ranks = stats.rankdata(scores, axis=0)
    assert friedman_p(ranks) == pytest.approx(stats.friedmanchisquare(*scores).pvalue, rel=1e-9, abs=1e-15)


def test_binomial_counts_are_inverted_at_every_size_and_rate():
    uniforms = np.random.default_rng(0).random((500, 4))
    support, recall = np.array([1, 7, 40, 12]), np.array([0.5, 0.0, 0.37, 1.0])
    assert (binomial_recalls(uniforms, support, recall) * support == stats.binom.ppf(uniforms, support, recall)).all()


def test_statistics_import_only_what_they_need():
    lines = (
        "import sys",
        "from sere_core.compare.stats.summarise import summarise",
        "from tests.compare.stats.synthetic import comparison",
        "summarise(comparison(lambda *_: 0.5))",
        "found = {'scipy.stats', 'scipy.optimize', 'sklearn', 'torch'} & set(sys.modules)",
        "assert not found, found",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
