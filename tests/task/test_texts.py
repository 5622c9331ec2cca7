"""`by_text`: texts that are there are found and taken off, as the equations say; speech without them stays as it is, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from sere_core.data.normalise import Normaliser, scaling
from sere_core.data.texts import SHRINKAGE, Texts, nearest_of, stable_centres, telling
from sere_plugins.methods.balanced_self_training import BalancedSelfTraining
from sere_plugins.methods.logistic import Logistic
from sere_plugins.methods.sere_plus import SerePlus
from sere_plugins.specs.methods import LogisticParams
from sere_plugins.specs.transductive import BalancedSelfTrainingParams, SerePlusParams
from sere_registry.utterances import Recording
from tests.probes.driver import SIX, Toy, posteriors, solved

STATES, WIDTH, TEXTS, SPEAKERS, COUNT = 5, 24, 6, 3, 216
NETWORK = ((STATES, WIDTH),)
#: each says every text in every emotion
SPEAKER = [f"f{number // 36 % SPEAKERS}" for number in range(COUNT)]
LAST = slice((STATES - 1) * WIDTH, STATES * WIDTH)


def spoken(texts: int = TEXTS, seed: int = 0, shots: int = 2) -> Toy:
    """Six emotions, each in every text.  Layers 1 to 3 say the emotion, and the text louder; the last says the text alone."""
    generator = torch.Generator().manual_seed(seed)
    emotions = 0.5 * torch.randn(6, WIDTH, generator=generator)
    truth = torch.arange(COUNT) % 6

    def language(labels: Tensor) -> Tensor:
        said = torch.arange(len(labels)) // 6 % max(texts, 1)
        louder = [share * torch.randn(max(texts, 1), WIDTH, generator=generator)[said] for share in (2.5, 2.5, 2.5, 2.5, 4.0)]
        clean = [share * emotions[labels] for share in (0.0, 1.0, 1.0, 1.0, 0.0)]
        return torch.cat(
            [a + (b if texts else 0 * b) + torch.randn(a.shape, generator=generator) for a, b in zip(clean, louder, strict=True)], 1
        )

    source, target = language(truth), language(truth)
    chosen = [
        int(each) for c in range(6) for each in (truth == c).nonzero().flatten()[torch.randperm(COUNT // 6, generator=generator)[:shots]]
    ]
    rest = [each for each in range(COUNT) if each not in chosen]
    source, target = source - source.mean(dim=0), target - target.mean(dim=0)
    return Toy({"labelled": source[chosen], "source": source[rest], "target": target}, truth[chosen], truth)


def said(count: int = COUNT) -> np.ndarray:
    return np.arange(count) // 6 % TEXTS


def without(texts: Texts, frames: NDArray[np.floating], vector: NDArray[np.floating]) -> NDArray[np.float32]:
    """What the engine makes of frames that are standardised already."""
    shift, factor = scaling((np.zeros(len(vector)), np.ones(len(vector))), texts, vector)
    return ((frames - shift) * factor).astype(np.float32)


def free(given: Toy) -> Toy:
    """The same without what is said, as the engine hands it to a method."""
    sides = (("labelled", "source"), ("target",))
    found: dict[str, Tensor] = {}
    for names in sides:
        rows = torch.cat([given.vectors[name] for name in names]).numpy()
        texts = Texts.find(rows, SPEAKER[: len(rows)], NETWORK)
        taken = torch.from_numpy(np.stack([without(texts, row[None], row)[0] for row in rows]))
        found |= dict(zip(names, taken.split([len(given.vectors[name]) for name in names]), strict=True))
    return replace(given, vectors=found)


def recall(build: Any, given: Toy) -> float:
    method, _ = solved(lambda context: build(replace(context, networks=NETWORK)), given, SIX)
    found = posteriors(method, given.vectors["target"]).argmax(dim=1)
    return float(np.mean([(found[given.truth == c] == c).double().mean() for c in range(6)]))


def target(**options: Any) -> NDArray[np.float64]:
    return spoken(**options).vectors["target"].double().numpy()


def found_in(rows: NDArray[np.floating], speakers: Sequence[str] | None = None) -> Texts:
    return Texts.find(rows, SPEAKER[: len(rows)] if speakers is None else speakers, NETWORK)


def test_texts_are_found_without_a_word_of_them() -> None:
    texts = found_in(target())
    _, nearest = nearest_of(target()[:, texts.columns] @ texts.axes, texts.centres)
    assert (texts.count, texts.why) == (TEXTS, "")
    assert adjusted_rand_score(said(), nearest) == 1.0


def test_what_is_taken_off_frames_is_the_shrunken_mean_of_the_text() -> None:
    rows, texts = target(), found_in(target())
    for text in range(TEXTS):
        alike = rows[said() == text]
        mean = alike.sum(axis=0) / (len(alike) + SHRINKAGE)
        frames = alike[0] + np.array([[-1.0], [0.0], [1.0]])
        taken = without(texts, frames, alike[0])
        np.testing.assert_allclose(taken[:, : LAST.start], (frames - mean)[:, : LAST.start], atol=1e-5)
        assert not taken[:, LAST].any()  # what tells the text is no evidence of an emotion


@pytest.mark.parametrize(("number", "agreed", "kept"), [(4, 0.69, 0), (4, 0.7, 4), (5, 0.34, 0), (5, 0.35, 5)])
def test_halves_have_to_agree_more_about_few_texts(number: int, agreed: float, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sklearn.metrics.adjusted_rand_score", lambda here, there: agreed)
    rows = np.random.default_rng(0).normal(size=(60, 8)) + 12 * np.eye(8)[np.arange(60) % number]
    assert len(stable_centres(rows)) == kept


def test_many_texts_are_told_apart() -> None:
    rows = np.random.default_rng(0).normal(size=(400, 64)) + 12 * np.eye(64)[np.arange(400) % 50]
    assert len(stable_centres(rows)) == 50


def test_a_text_of_a_single_utterance_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sere_core.data.texts.stable_centres", lambda z: np.concatenate([stable_centres(z), z[:1]]))
    assert found_in(target()).count == TEXTS


def test_how_far_a_text_is_does_not_depend_on_the_batch() -> None:
    z = 1000 + np.random.default_rng(0).normal(size=(60, 8))
    together = nearest_of(z, z[:40])[0]
    assert np.array_equal(np.concatenate([nearest_of(row[None], z[:40])[0] for row in z]), together) and not together[:40].any()


@pytest.mark.parametrize("seed", range(5))
def test_where_everybody_speaks_freely_nothing_is_taken_off(seed: int) -> None:
    rows = target(texts=0, seed=seed)
    texts = found_in(rows)
    assert texts.count == 0 and texts.why == "halves of the utterances do not agree about texts"
    np.testing.assert_array_equal(without(texts, rows, rows[0])[:, : LAST.start], rows[:, : LAST.start].astype(np.float32))


@pytest.mark.parametrize("count", [0, 1, 9])
def test_of_a_handful_nothing_is_said(count: int) -> None:
    assert found_in(target()[:count]).count == 0


def test_one_state_alone_tells_no_texts_and_of_two_networks_both_last_states_do() -> None:
    alone = Texts.find(np.ones((40, 8)), ["f1"] * 40, ((1, 8),))
    assert alone.why == "a single layer does not tell what is said"
    assert without(alone, np.ones((2, 8)), np.ones(8)).tolist() == np.ones((2, 8)).tolist()
    assert telling(((3, 2), (2, 4))).tolist() == [4, 5, 10, 11, 12, 13]


def test_a_text_that_nobody_said_before_is_left_as_it_is() -> None:
    texts = found_in(target())
    assert not any(texts.said(row).any() for row in 3 * target(seed=7))
    assert all(texts.said(row).any() for row in target())


@pytest.mark.parametrize(
    ("speakers", "count"),
    [
        pytest.param(SPEAKER, TEXTS, id="each reads each in all emotions"),
        pytest.param([str(number) for number in range(COUNT)], 0, id="nobody reads one twice"),
        pytest.param([""] * COUNT, 0, id="unknown"),
        pytest.param(["f0"] * 36 + [""] * (COUNT - 36), TEXTS, id="one is known, who does"),
    ],
)
def test_only_what_speakers_repeat_is_a_text(speakers: list[str], count: int) -> None:
    assert found_in(target(), speakers).count == count


def test_a_recording_is_standardised_first_and_its_corpus_says_which_texts_there_are() -> None:
    rows = 3 + 2 * target()
    recordings = [Recording(str(number), Path("x"), "it", "it", name) for number, name in enumerate(SPEAKER)]
    fitted = Normaliser.fit("corpus", target_train=list(zip(recordings, rows, strict=True)))
    plain = np.stack([fitted.apply(each, row[None])[0] for each, row in zip(recordings, rows, strict=True)])
    texts = found_in(plain)
    by_text = replace(fitted, texts={"it": texts})
    frames = rows[0] + np.array([[-1.0], [1.0]])
    expected = without(texts, fitted.apply(recordings[0], frames), plain[0])
    np.testing.assert_allclose(by_text.apply(recordings[0], frames, rows[0]), expected, atol=1e-6)
    np.testing.assert_allclose(by_text.apply(recordings[0], frames), expected, atol=1e-6)  # the mean is that of the frames
    assert not np.array_equal(expected[:, : LAST.start], fitted.apply(recordings[0], frames)[:, : LAST.start])
    assert np.array_equal(replace(fitted, texts={"de": texts}).apply(recordings[0], frames), fitted.apply(recordings[0], frames))


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda given: Logistic(LogisticParams(C=0.1), given), id="logistic"),
        pytest.param(lambda given: BalancedSelfTraining(BalancedSelfTrainingParams(C=0.1), given), id="balanced"),
        pytest.param(lambda given: SerePlus(SerePlusParams(), given), id="sere_plus"),
    ],
)
def test_few_labels_go_farther_where_all_read_the_same_sentences(build: Any) -> None:
    plain = [recall(build, spoken(seed=seed)) for seed in range(2)]
    by_text = [recall(build, free(spoken(seed=seed))) for seed in range(2)]
    assert np.mean(by_text) > np.mean(plain) + 0.1, (plain, by_text)
