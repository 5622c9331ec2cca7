"""`by_text`: texts that are there are found and taken off, as the equations say; speech without them stays as it is, to the bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from sere_plugins.methods.balanced_self_training import BalancedSelfTraining
from sere_plugins.methods.logistic import Logistic
from sere_plugins.methods.sere_plus import SerePlus
from sere_plugins.methods.texts import SHRINKAGE, Texts, nearest_of, texts, without_texts
from sere_plugins.specs.methods import LogisticParams
from sere_plugins.specs.transductive import BalancedSelfTrainingParams, SerePlusParams
from tests.probes.driver import SIX, Seen, TinyBackbone, Toy, posteriors, solved

STATES, WIDTH, TEXTS, SPEAKERS, COUNT = 5, 24, 6, 3, 216
NETWORK = ((STATES, WIDTH),)


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
    speaker = torch.arange(COUNT) // 36 % SPEAKERS  # each says every text in every emotion
    named = {"labelled": speaker[chosen], "source": speaker[rest], "target": speaker}
    return Toy({"labelled": source[chosen], "source": source[rest], "target": target}, truth[chosen], truth, named)


def said(count: int = COUNT) -> np.ndarray:
    return np.arange(count) // 6 % TEXTS


def recall(build: Any, given: Toy) -> float:
    method, _ = solved(lambda context: build(replace(context, networks=NETWORK)), given, SIX)
    found = posteriors(method, given.vectors["target"]).argmax(dim=1)
    return float(np.mean([(found[given.truth == c] == c).double().mean() for c in range(6)]))


def found_in(vectors: Tensor, speakers: Tensor | None = None) -> tuple[Texts, np.ndarray]:
    texts = Texts(NETWORK)
    return texts, texts.find(vectors.double().numpy(), torch.zeros(len(vectors)) if speakers is None else speakers)


def test_texts_are_found_without_a_word_of_them() -> None:
    texts, _ = found_in(spoken().vectors["target"])
    z = spoken().vectors["target"][:, texts.columns] @ texts.axes
    nearest = torch.cdist(z, texts.centres[: texts.count]).argmin(dim=1)
    assert texts.count == TEXTS
    assert adjusted_rand_score(said(), nearest) == 1.0


def test_what_is_taken_off_is_the_shrunken_mean_of_the_text() -> None:
    rows = spoken().vectors["target"].double().numpy()
    _, without = found_in(spoken().vectors["target"])
    for text in range(TEXTS):
        alike = rows[said() == text]
        expected = alike - alike.sum(axis=0) / (len(alike) + SHRINKAGE)
        np.testing.assert_allclose(without[said() == text], expected, atol=1e-5)


@pytest.mark.parametrize(("number", "agreed", "kept"), [(4, 0.69, 0), (4, 0.7, 4), (5, 0.34, 0), (5, 0.35, 5)])
def test_halves_have_to_agree_more_about_few_texts(number: int, agreed: float, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sere_plugins.methods.texts.adjusted_rand_score", lambda here, there: agreed)
    rows = np.random.default_rng(0).normal(size=(60, 8)) + 12 * np.eye(8)[np.arange(60) % number]
    assert len(texts(rows)) == kept


def test_many_texts_are_told_apart() -> None:
    rows = np.random.default_rng(0).normal(size=(400, 64)) + 12 * np.eye(64)[np.arange(400) % 50]
    assert len(texts(rows)) == 50


def test_a_text_of_a_single_utterance_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sere_plugins.methods.texts.texts", lambda z: np.concatenate([texts(z), z[:1]]))
    rows = spoken().vectors["target"]
    found, _ = found_in(rows)
    assert found.count == TEXTS


def test_how_far_a_text_is_does_not_depend_on_the_batch() -> None:
    z = 1000 + torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    together = nearest_of(z, z[:40])[0]
    assert torch.equal(torch.cat([nearest_of(row[None], z[:40])[0] for row in z]), together) and not together[:40].any()


@pytest.mark.parametrize("seed", range(5))
def test_where_everybody_speaks_freely_nothing_changes(seed: int) -> None:
    rows = spoken(texts=0, seed=seed).vectors["target"]
    texts, without = found_in(rows)
    assert texts.count == 0
    np.testing.assert_array_equal(without, rows.double().numpy())


@pytest.mark.parametrize("count", [0, 1, 9])
def test_of_a_handful_nothing_is_said(count: int) -> None:
    rows = spoken().vectors["target"][:count]
    texts, without = found_in(rows)
    assert texts.count == 0
    np.testing.assert_array_equal(without, rows.double().numpy())


def test_one_state_alone_tells_no_texts_and_of_two_networks_both_last_states_do() -> None:
    assert Texts(((1, 8),)).columns == []
    assert Texts(((1, 8),)).find(np.ones((40, 8)), torch.zeros(40)).tolist() == np.ones((40, 8)).tolist()
    assert Texts(((3, 2), (2, 4))).columns == [4, 5, 10, 11, 12, 13]


def test_a_text_that_nobody_said_before_is_left_as_it_is() -> None:
    texts, _ = found_in(spoken().vectors["target"])
    new = spoken(seed=7).vectors["target"] * 3
    assert torch.equal(texts(new), new)
    again = Texts(NETWORK)
    again.load_state_dict(texts.state_dict())
    known = spoken().vectors["target"]
    assert torch.equal(again(known), texts(known)) and not torch.equal(again(known), known)


@pytest.mark.parametrize(
    ("speakers", "count"),
    [
        pytest.param(torch.arange(COUNT) // 36 % SPEAKERS, TEXTS, id="each reads each in all emotions"),
        pytest.param(torch.arange(COUNT), 0, id="nobody reads one twice"),
        pytest.param(torch.full((COUNT,), -1), 0, id="unknown"),
        pytest.param(torch.where(torch.arange(COUNT) < 36, 0, -1), TEXTS, id="one is known, who does"),
    ],
)
def test_only_what_speakers_repeat_is_a_text(speakers: Tensor, count: int) -> None:
    rows = spoken().vectors["target"]
    texts, without = found_in(rows, speakers)
    assert texts.count == count
    assert np.array_equal(without, rows.double().numpy()) == (count == 0)


def test_source_and_target_have_their_own_texts_and_s_l_those_of_the_source() -> None:
    given = spoken()
    parts = {name: given.vectors[name].double().numpy() for name in ("labelled", "source", "target")}
    seen = Seen(given, TinyBackbone(), frozenset(parts))
    labelled, source, target, trace = without_texts(Texts(NETWORK), seen, parts["labelled"])
    assert trace == {"source_texts": [TEXTS], "target_texts": [TEXTS]}
    speakers = torch.cat([given.speakers["labelled"], given.speakers["source"]])
    together = Texts(NETWORK).find(np.concatenate([parts["labelled"], parts["source"]]), speakers)
    np.testing.assert_array_equal(np.concatenate([labelled, source]), together)
    np.testing.assert_array_equal(target, Texts(NETWORK).find(parts["target"], given.speakers["target"]))


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda by_text: lambda given: Logistic(LogisticParams(C=0.1, by_text=by_text), given), id="logistic"),
        pytest.param(
            lambda by_text: lambda given: BalancedSelfTraining(BalancedSelfTrainingParams(C=0.1, by_text=by_text), given), id="balanced"
        ),
        pytest.param(lambda by_text: lambda given: SerePlus(SerePlusParams(by_text=by_text), given), id="sere_plus"),
    ],
)
def test_few_labels_go_farther_where_all_read_the_same_sentences(build: Any) -> None:
    plain = [recall(build(False), spoken(seed=seed)) for seed in range(2)]
    by_text = [recall(build(True), spoken(seed=seed)) for seed in range(2)]
    assert np.mean(by_text) > np.mean(plain) + 0.1, (plain, by_text)


def test_the_state_that_tells_the_text_is_no_evidence_of_an_emotion() -> None:
    method, _ = solved(lambda context: Logistic(LogisticParams(by_text=True), replace(context, networks=NETWORK)), spoken(), SIX)
    assert method.weight[:, -WIDTH:].abs().max() < 1e-12 < method.weight[:, :-WIDTH].abs().max()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, [], id="texts"),
        pytest.param({"speakers": {}}, ["source", "target"], id="speakers unknown"),
        pytest.param(
            {"vectors": {**spoken().vectors, "target": spoken(texts=0).vectors["target"]}}, ["target"], id="the target speaks freely"
        ),
    ],
)
def test_that_nothing_is_taken_off_is_said(change: dict[str, Any], expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr("sere_plugins.methods.texts.warn", lambda who, thing, line: warned.append(thing))
    given = replace(spoken(), **change)
    parts = {name: given.vectors[name].double().numpy() for name in ("labelled", "source", "target")}
    without_texts(Texts(NETWORK), Seen(given, TinyBackbone(), frozenset(parts)), parts["labelled"])
    assert warned == expected
