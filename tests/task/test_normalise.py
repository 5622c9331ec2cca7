"""Whose statistics standardise whose features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sere_core.data.normalise import SPEAKER_FLOOR, Mode, Normaliser
from sere_registry.utterances import Recording

Vector = NDArray[np.floating]


def vectors(corpus: str, speaker: str, values: list[float]) -> list[tuple[Recording, Vector]]:
    return [
        (Recording(f"{speaker}{number}", Path("x"), corpus, "it", speaker), np.array([value, 0.0])) for number, value in enumerate(values)
    ]


SOURCE = vectors("de", "03", [1.0, 3.0]) + vectors("de", "08", [11.0, 13.0])
TRAIN = vectors("it", "f1", [5.0, 7.0]) + vectors("it", "m1", [9.0, 11.0])
TEST = vectors("it", "f2", [100.0, 104.0])
FRAMES = np.array([[100.0, 0.0], [108.0, 1.0]], dtype=np.float32)


def test_none_changes_nothing() -> None:
    fitted = Normaliser.fit("none", SOURCE, TRAIN, TEST)
    assert np.array_equal(fitted.apply(TEST[0][0], FRAMES), FRAMES)
    assert fitted.statement == "features are not standardised"


def test_corpus_statistics_are_those_of_utterance_means_of_the_training_part() -> None:
    fitted = Normaliser.fit("corpus", SOURCE, TRAIN, TEST)
    assert fitted.apply(TRAIN[0][0], np.array([[8.0, 0.5]])) == pytest.approx(np.array([[0.0, 0.5]]))
    std = np.std([5.0, 7.0, 9.0, 11.0])
    assert fitted.apply(TEST[0][0], FRAMES)[:, 0] == pytest.approx((FRAMES[:, 0] - 8.0) / std, rel=1e-6)
    assert fitted.apply(SOURCE[0][0], np.array([[7.0, 0.0]]))[0, 0] == pytest.approx(0.0)
    assert fitted.statement.startswith("corpus statistics") and fitted.statement.count("(4 utterances, 2 speakers)") == 2


@pytest.mark.parametrize("mode", ["corpus", "none", "speaker"])
def test_what_is_scored_changes_no_statistic_but_its_own_speakers_in_the_inductive_setting(mode: Mode) -> None:
    other = [(each, vector * 17 + 3) for each, vector in TEST]
    for recording in (TRAIN[0][0], SOURCE[0][0], *([] if mode == "speaker" else [TEST[0][0]])):
        one, two = (Normaliser.fit(mode, SOURCE, TRAIN, test).apply(recording, FRAMES) for test in (TEST, other))
        assert np.array_equal(one, two)


def test_a_test_speaker_is_standardised_by_their_own_utterances_and_the_statement_says_so() -> None:
    fitted = Normaliser.fit("speaker", SOURCE, TRAIN, TEST)
    assert fitted.apply(TEST[0][0], FRAMES)[:, 0] == pytest.approx([-1.0, 3.0])
    assert fitted.apply(SOURCE[2][0], np.array([[13.0, 0.0]]))[0, 0] == pytest.approx(1.0)
    assert fitted.statement.startswith("speaker statistics") and fitted.statement.count("(4 utterances, 2 speakers)") == 2
    assert "in T_e (2 utterances, 1 speaker)" in fitted.statement


def test_a_speaker_who_is_also_adapted_to_or_has_one_utterance_gets_other_statistics() -> None:
    known, lonely = Recording("new", Path("x"), "it", "it", "f1"), Recording("f90", Path("x"), "it", "it", "f9")
    fitted = Normaliser.fit("speaker", SOURCE, TRAIN, [(known, np.array([99.0, 0.0])), (lonely, np.array([50.0, 0.0]))])
    assert fitted.apply(known, np.array([[6.0, 0.0]]))[0, 0] == pytest.approx(0.0), "those of their utterances in T_u"
    assert fitted.apply(lonely, np.array([[8.0, 0.0]]))[0, 0] == pytest.approx(0.0), "those of the corpus"
    assert "also in T_u" in fitted.statement and "1 speakers with fewer than two utterances" in fitted.statement


def test_transductive_counts_the_scored_as_adapted_to() -> None:
    fitted = Normaliser.fit("corpus", SOURCE, TRAIN + TEST, TRAIN + TEST, "transductive")
    mean = np.mean([5.0, 7.0, 9.0, 11.0, 100.0, 104.0])
    assert fitted.apply(TEST[0][0], np.array([[mean, 0.0]]))[0, 0] == pytest.approx(0.0)


def test_a_constant_dimension_is_centred_and_agreement_by_chance_does_not_explode() -> None:
    fitted = Normaliser.fit("speaker", SOURCE, TRAIN + vectors("it", "m2", [8.0, 8.0]))
    speaker = Recording("m20", Path("x"), "it", "it", "m2")
    corpus = np.std([5.0, 7.0, 9.0, 11.0, 8.0, 8.0])
    assert fitted.apply(speaker, np.array([[9.0, 0.0]]))[0, 0] == pytest.approx(1 / (SPEAKER_FLOOR * corpus))
    assert np.isfinite(fitted.apply(speaker, FRAMES)).all()


def test_the_order_of_utterances_changes_no_bit() -> None:
    rng = np.random.default_rng(0)
    train = [(Recording(str(number), Path("x"), "it", "it", "f1"), rng.normal(size=5)) for number in range(31)]
    frames = rng.normal(size=(7, 5))
    one, two = (Normaliser.fit("speaker", (), each).apply(train[0][0], frames) for each in (train, train[::-1]))
    assert np.array_equal(one, two) and one.dtype == np.float32


def test_the_deviation_of_a_target_of_few_utterances_is_the_sources() -> None:
    few = vectors("it", "f1", [5.0, 7.0])
    for mode, speaker in (("corpus", "f1"), ("speaker", "nobody")):
        fitted = Normaliser.fit(mode, SOURCE, few)  # type: ignore[arg-type]
        new = replace(few[0][0], speaker=speaker)
        spread = np.std([1.0, 3.0, 11.0, 13.0])
        assert fitted.apply(new, FRAMES)[:, 0] == pytest.approx((FRAMES[:, 0] - 6.0) / spread, rel=1e-6)
        assert "few utterances" in fitted.statement or mode == "speaker"
    assert "few utterances" not in Normaliser.fit("corpus", SOURCE, TRAIN).statement
    assert Normaliser.fit("corpus", few).corpora["it"][1][0] == 1.0, "a source's own is its own"


def test_the_ceiling_counts_each_utterance_once() -> None:
    """There S_l and S_u are the very utterances of T_u."""
    one, two = (Normaliser.fit("corpus", source, TRAIN).apply(TRAIN[0][0], FRAMES) for source in (TRAIN[:2], ()))
    assert np.array_equal(one, two)


def test_shrinkage_weighs_speaker_and_corpus_by_the_number_of_utterances() -> None:
    alone = vectors("it", "f9", [50.0])
    fitted = Normaliser.fit("speaker", SOURCE, TRAIN, TEST + alone, shrinkage=2.0)
    weight, mean, std = 2 / (2 + 2), np.mean([5.0, 7.0, 9.0, 11.0]), np.std([5.0, 7.0, 9.0, 11.0])
    drawn, divisor = weight * 102 + (1 - weight) * mean, np.sqrt(weight * 2.0**2 + (1 - weight) * std**2)
    assert fitted.apply(TEST[0][0], FRAMES)[:, 0] == pytest.approx((FRAMES[:, 0] - drawn) / divisor, rel=1e-6)
    drawn, divisor = (50 + 2 * mean) / 3, np.sqrt(2 / 3) * std
    assert fitted.apply(alone[0][0], FRAMES)[:, 0] == pytest.approx((FRAMES[:, 0] - drawn) / divisor, rel=1e-6)
    assert "which weigh as much as 2 utterances" in fitted.statement and "fewer than two" not in fitted.statement
    far, near = (Normaliser.fit(mode, SOURCE, TRAIN, TEST, shrinkage=k) for mode, k in (("speaker", 1e12), ("corpus", 0.0)))
    assert far.apply(TEST[0][0], FRAMES) == pytest.approx(near.apply(TEST[0][0], FRAMES), rel=1e-6)
