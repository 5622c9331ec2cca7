"""The bootstrap in matrix products equals the loop, covers what it should, and pairs what belongs together."""

from __future__ import annotations

import numpy as np
import pytest

from sere_core.compare.stats.bootstrap import Replicates
from sere_core.compare.stats.summary import gender_uar
from sere_core.score.interval import binomial_recalls, draw_speakers, expanded_percentile, fold_mean_uar
from sere_core.score.metrics import uar
from tests.compare.stats.synthetic import comparison, counts, facts


def by_hand(weights, run_counts, folds):
    """One replicate, as the definition says it."""
    values = []
    for fold in sorted(set(folds)):
        summed = sum(int(w) * c for w, c, f in zip(weights, run_counts, folds, strict=True) if f == fold)
        if summed.sum():
            values.append(float(uar(summed)))
    return float(np.mean(values))


def test_matrix_products_equal_the_definition_with_absent_classes_and_empty_folds():
    generator = np.random.default_rng(3)
    drawn = generator.integers(0, 4, size=(4, 7, 3, 3))
    drawn[:, 2, 1] = 0  # a speaker without one of the classes
    support = drawn[0].sum(axis=-1)
    for run in range(1, 4):  # other predictions for the same utterances
        for speaker in range(7):
            for label in range(3):
                drawn[run, speaker, label] = generator.multinomial(support[speaker, label], [1 / 3] * 3)
    folds = [0, 0, 1, 1, 2, 2, 2]
    weights = draw_speakers(7, 200, 0, "x")
    found = fold_mean_uar(weights, drawn, folds)
    assert (weights[:, 2:4].sum(axis=1) == 0).any(), "some replicates must lack a fold"
    expected = [[by_hand(row, drawn[run], folds) for run in range(4)] for row in weights]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_draw_depends_on_its_name_alone_and_weights_of_one_give_the_score_of_the_run():
    assert (draw_speakers(9, 50, 0, "emovo") == draw_speakers(9, 50, 0, "emovo")).all()
    assert (draw_speakers(9, 50, 0, "emovo") != draw_speakers(9, 50, 0, "emodb")).any()
    run = facts(counts(np.random.default_rng(0), np.full((6, 5), 0.6), 5), [0, 0, 1, 1, 2, 2])
    assert fold_mean_uar(np.ones((1, 6)), run.by_speaker[None], run.speaker_folds)[0, 0] == pytest.approx(run.uar)


def coverage(speakers, sets=300):
    """How often the truth of a population of speakers lies in the interval: ours, the plain percentile's, the utterances'."""
    generator = np.random.default_rng(speakers)

    def accuracies(size):
        spread = generator.normal(0.55, 0.15, (size, 1)) + generator.normal(0, 0.1, (size, 5))
        return np.clip(spread, 0.02, 0.98)

    truth = accuracies(200_000).mean()
    found = np.zeros(3)
    for number in range(sets):
        drawn = counts(generator, accuracies(speakers), 6)
        values = fold_mean_uar(draw_speakers(speakers, 500, number, "x"), drawn[None], [index % 5 for index in range(speakers)])[:, 0]
        summed = drawn.sum(axis=0)
        support = summed.sum(axis=1)
        utterances = binomial_recalls(generator.random((500, 5)), support, np.diagonal(summed) / support).mean(axis=1)
        ends = expanded_percentile([values], [speakers]), np.quantile(values, [0.025, 0.975]), np.quantile(utterances, [0.025, 0.975])
        found += [low <= truth <= high for low, high in ends]
    return found / sets


@pytest.mark.parametrize(("speakers", "least", "most", "gain"), [(24, 0.91, 0.99, 0.0), (6, 0.82, 0.98, 0.03)])
def test_the_interval_covers_the_population_of_speakers_about_as_often_as_it_says(speakers, least, most, gain):
    ours, plain, utterances = coverage(speakers)
    assert least <= ours <= most and ours >= plain + gain
    assert utterances < 0.8, "utterances of a speaker are not independent, or this test shows nothing"


def test_expanded_percentiles_are_the_t_interval_of_a_mean_and_add_the_variances_of_corpora():
    from scipy.stats import t

    generator = np.random.default_rng(0)
    sample = generator.normal(size=8)
    means = generator.choice(sample, size=(200_000, 8)).mean(axis=1)
    low, high = expanded_percentile([means], [8])
    half = t.ppf(0.975, 7) * sample.std(ddof=1) / np.sqrt(8)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
    generator = np.random.default_rng(1)
    one, other = generator.normal(0, 3, 100_000), generator.normal(0, 4, 100_000)
    low, high = expanded_percentile([one, other], [500, 500])
    assert (high - low) / 2 == pytest.approx(1.96 * 5, rel=0.03)
    assert expanded_percentile([np.zeros(10)], [1]) is None
    assert expanded_percentile([np.full(10, 0.25)], [4]) == (0.25, 0.25)


def test_binomial_recalls_have_the_moments_of_resampled_utterances():
    uniforms = np.random.default_rng(0).random((50_000, 2))
    found = binomial_recalls(uniforms, np.array([20, 5]), np.array([0.3, 1.0]))
    assert found[:, 0].mean() == pytest.approx(0.3, abs=0.003)
    assert found[:, 0].var() == pytest.approx(0.3 * 0.7 / 20, rel=0.05)
    assert (found[:, 1] == 1).all()


def test_differences_are_paired_by_speaker_and_pairs_with_one_target_share_their_draw():
    """Both rows suffer from the same hard speakers: the interval of their difference is narrower than unpaired ones would give."""
    results = comparison(lambda row, pair, seed: 0.6 + 0.05 * (row == "ours"))
    replicates, places = Replicates(results), {"aa>bb": (0, 1, 2, 3, 4)}
    ours, floor = replicates.interval("ours", places), replicates.interval("floor", places)
    difference = replicates.difference("ours", "floor", places)
    unpaired = np.hypot(ours.high - ours.low, floor.high - floor.low)
    assert difference.high - difference.low < 0.75 * unpaired
    assert difference.how == "speakers" and difference.n == 12
    same, other = (replicates.interval("ours", {"aa>bb": (0,), pair: (0,)}) for pair in ("cc>bb", "bb>aa"))
    assert (same.n, other.n) == (12, 24)


def test_unknown_speakers_fall_back_on_utterances_and_say_so():
    known, unknown = (comparison(lambda row, pair, seed: 0.6, known=each) for each in (True, False))
    places = {"aa>bb": (0, 1, 2, 3, 4)}
    found = Replicates(unknown).interval("ours", places)
    assert (found.how, found.n) == ("utterances", 12 * 5 * 6)
    mean = np.mean([unknown.runs["ours", "aa>bb", seed].uar for seed in range(5)])
    assert found.low < mean < found.high
    assert gender_uar(unknown.runs["ours", "aa>bb", 0]) == {}
    mixed = {place: (known if place[1].endswith("aa") else unknown).runs[place] for place in known.runs}
    both = Replicates(type(known)(known.plan, mixed)).interval("ours", {"aa>bb": (0,), "bb>aa": (0,)})
    assert both.how == "speakers and utterances"


def test_gender_uar_is_that_of_its_speakers():
    run = facts(counts(np.random.default_rng(0), np.tile([[0.2] * 5, [0.9] * 5], (6, 1)), 20), [index % 4 for index in range(12)])
    found = gender_uar(run)
    assert found["male"] == pytest.approx(0.2, abs=0.05) and found["female"] == pytest.approx(0.9, abs=0.05)
