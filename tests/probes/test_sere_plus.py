"""`sere_plus`: what its steps say, in plain loops over scikit-learn; and that each of its parts does what it is for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sere_core.testing.toy import Toy as TrainedToy
from sere_core.testing.toy import streams
from sere_plugins.methods.sere_plus import SerePlus, middle_layers
from sere_plugins.specs.transductive import LOGISTIC_BALANCED, SERE_PLUS, SerePlusParams
from sere_registry import ComponentSpec, SereError
from tests.probes.driver import SIX, Toy, context, posteriors, solved
from tests.probes.test_logistic_balanced import in_equal_shares, moved, plain, recall

STATES, WIDTH = 5, 8


def made_toy(spec: ComponentSpec) -> TrainedToy:
    return TrainedToy(lambda context: spec.load()(spec.params(), context))


def layered(seed: int = 0) -> Toy:
    """Five hidden states: what enters layer 1 is noise, layers 1 and 2 know the class within a language, 2 and 3 in both, 4 in neither."""
    generator = torch.Generator().manual_seed(seed)
    given = moved(seed=seed, shift=1.0, count=180)

    def states(name: str, values: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(STATES, *values.shape, generator=generator)
        foreign = name == "target"
        clean = (0.0, 0.0 if foreign else 1.0, 1.0, 1.0 if foreign else 0.5, 0.0)
        return torch.cat([share * values + 1.5 * each for share, each in zip(clean, noise, strict=True)], dim=1)

    return replace(given, vectors={name: states(name, values) for name, values in given.vectors.items()})


def made(given: Toy, states: int = STATES, **params: Any) -> tuple[Any, dict[str, list[float]]]:
    def build(given: Any) -> SerePlus:
        return SerePlus(SerePlusParams(**params), replace(given, networks=((states, given.input_dim // states),)))

    return solved(build, given, SIX)


def thinned(given: Toy, shares: torch.Tensor) -> Toy:
    """The target in these shares: as many as they leave, n = min_c N_c / k_c."""
    counts = (shares * (given.truth.bincount() / shares).min()).round().int().tolist()
    kept = torch.cat([(given.truth == label).nonzero().flatten()[:count] for label, count in enumerate(counts)])
    return replace(given, vectors={**given.vectors, "target": given.vectors["target"][kept]}, truth=given.truth[kept])


def by_hand(given: Toy) -> np.ndarray:
    """Steps 1 to 3 with the defaults: the posteriors of T_u, `[n, C]`."""
    source, target, known = (given.vectors[name].double().numpy() for name in ("source", "target", "labelled"))
    labels = given.labels.numpy()

    def of(layer: int, values: np.ndarray) -> np.ndarray:
        return values[:, WIDTH * layer : WIDTH * (layer + 1)]

    def fit(C: float, *parts: tuple[np.ndarray, np.ndarray, np.ndarray]) -> list[Any]:
        vectors, classes, weights = (np.concatenate(each) for each in zip(*parts, strict=True))
        return [LogisticRegression(C=C, max_iter=1000).fit(of(layer, vectors), classes, weights) for layer in (1, 2, 3)]

    def pseudo(fits: list[Any], vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean = np.exp(np.mean([np.log(fit.predict_proba(of(layer, vectors))) for fit, layer in zip(fits, (1, 2, 3), strict=True)], axis=0))
        shares = in_equal_shares(mean / mean.sum(axis=1, keepdims=True))
        return vectors, shares.argmax(axis=1), shares.max(axis=1)

    one, five = (known, labels, np.ones(len(labels))), (known, labels, np.full(len(labels), 5.0))
    taught = pseudo(fit(0.02, one), source)
    guessed = pseudo(fit(0.002, five, taught), target)
    for _ in range(2):
        weight = 2.0 * (five[2].sum() + taught[2].sum()) / guessed[2].sum()
        fits = fit(0.002, five, taught, (guessed[0], guessed[1], weight * guessed[2]))
        guessed = pseudo(fits, target)
    mean = np.exp(np.mean([np.log(each.predict_proba(of(layer, target))) for each, layer in zip(fits, (1, 2, 3), strict=True)], axis=0))
    return in_equal_shares(mean / mean.sum(axis=1, keepdims=True))


def test_the_steps_are_the_equations() -> None:
    given = layered()
    method, trace = made(given)
    np.testing.assert_allclose(posteriors(method, given.vectors["target"]).numpy(), by_hand(given), atol=2e-3)
    assert len(trace["changed"]) == 3 and "largest_share" not in trace
    torch.testing.assert_close(posteriors(method, given.vectors["target"][:1]), posteriors(method, given.vectors["target"])[:1])


@pytest.mark.parametrize(("states", "layers"), [(1, [0]), (2, [0]), (3, [1]), (4, [1, 2]), (5, [1, 2, 3]), (7, [2, 3, 4]), (13, [5, 6, 7])])
def test_layers_by_their_number(states: int, layers: list[int]) -> None:
    assert [each.start for each in middle_layers([(states, 1)])] == layers


def test_several_networks_teach_each_other() -> None:
    """The same one twice is one; two that err differently are better together than each alone, whatever their widths."""
    given = layered()

    def together(*parts: Toy) -> Toy:
        names = given.vectors
        return replace(given, vectors={name: torch.cat([part.vectors[name] for part in parts], dim=1) for name in names})

    def of(toy: Toy, *networks: tuple[int, int]) -> Any:
        return solved(lambda context: SerePlus(SerePlusParams(), replace(context, networks=networks)), toy, SIX)[0]

    alone, twice = of(given, (STATES, WIDTH)), of(together(given, given), (STATES, WIDTH), (STATES, WIDTH))
    target = given.vectors["target"]
    torch.testing.assert_close(posteriors(twice, torch.cat([target, target], dim=1)), posteriors(alone, target), atol=1e-4, rtol=0)

    recalls: list[tuple[float, float, float]] = []
    for seed in range(3):
        given, draws = layered(seed), torch.Generator().manual_seed(seed)
        vague = {name: values + torch.randn(values.shape, generator=draws) for name, values in given.vectors.items()}
        wide = replace(given, vectors={name: values + torch.randn(values.shape, generator=draws) for name, values in given.vectors.items()})
        narrow = replace(given, vectors={name: values.reshape(-1, STATES, WIDTH)[:, 1:, :6].flatten(1) for name, values in vague.items()})
        both = of(other := together(wide, narrow), (STATES, WIDTH), (4, 6))
        assert both.weight.shape == (5, len(SIX), WIDTH)
        recalls.append((recall(of(wide, (STATES, WIDTH)), wide), recall(of(narrow, (4, 6)), narrow), recall(both, other)))
    first, second, joined = np.mean(recalls, axis=0)
    assert joined > max(first, second)


def test_each_part_is_worth_its_place_on_speech_as_it_is_made_for() -> None:
    scores: dict[str, list[float]] = {}
    for seed in range(4):
        given = layered(seed)
        variants: dict[str, dict[str, Any]] = {
            "whole": {},
            "unbalanced": {"shares": "none"},
            "no rounds": {"rounds": 0},
            "no source": {"source_weight": 0.0},
        }
        for name, params in variants.items():
            scores.setdefault(name, []).append(recall(made(given, **params)[0], given))
        scores.setdefault("logistic", []).append(recall(plain(given), given))
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    assert means["whole"] > means["logistic"] + 0.05
    assert means["whole"] > means["unbalanced"] and means["whole"] > max(means["no rounds"], means["no source"])


def test_without_unlabelled_source_or_layers_the_flow_remains() -> None:
    given = moved(shift=1.0)
    method, trace = made(given, states=1)
    assert recall(method, given) > recall(plain(given), given)
    everything = replace(given, vectors={**given.vectors, "source": given.vectors["source"][:0]})
    method, trace = made(everything, states=1)
    assert torch.isfinite(method.weight).all() and len(trace["changed"]) == 3


def test_the_engine_asks_for_no_unlabelled_source(tmp_path: Path) -> None:
    """With `shots: all` there is none; a method that says nothing of the kind is refused."""
    without = {name: stream for name, stream in streams().items() if name != "source"}
    found = made_toy(SERE_PLUS).trainer(tmp_path / "plus", streams_=without).run()
    assert torch.isfinite(found.posteriors).all()
    with pytest.raises(SereError, match="C311"):
        made_toy(LOGISTIC_BALANCED).trainer(tmp_path / "balanced", streams_=without).run()


def test_a_class_without_labels_is_never_predicted() -> None:
    given = layered()
    kept = given.labels != 2
    partial = replace(given, vectors={**given.vectors, "labelled": given.vectors["labelled"][kept]}, labels=given.labels[kept])
    found = posteriors(made(partial)[0], given.vectors["target"])
    assert torch.equal(found[:, 2], torch.zeros(len(found), dtype=found.dtype)) and torch.isfinite(found).all()


def test_it_sees_what_it_says_and_shares_can_be_listed() -> None:
    method = SerePlus(SerePlusParams(), context(classes=SIX))
    assert method.stages()[0].sees == {"labelled", "source", "target"}
    skewed = made(layered(), shares=(5, 1, 1, 1, 1, 1))
    assert skewed[1]["largest_share"] == [0.5]
    without = posteriors(made(layered(), shares=(0, 1, 1, 1, 1, 1))[0], layered().vectors["target"])
    assert torch.equal(without[:, 0], torch.zeros_like(without[:, 0])) and torch.isfinite(without).all()


def test_in_shares_of_its_own_the_target_is_answered_as_uar_counts() -> None:
    """Pseudo-labels follow the shares k; the prediction is divided by k, and is Q itself once it is multiplied by k again."""
    shares = torch.tensor([0.4, 0.3, 0.1, 0.1, 0.05, 0.05], dtype=torch.float64)
    scores: dict[str, list[float]] = {}
    for seed in range(6):
        given = thinned(layered(seed), shares)
        method = made(given, shares=tuple(shares.tolist()))[0]
        found = posteriors(method, given.vectors["target"]).double()
        inside = found * shares / (found * shares).sum(dim=1, keepdim=True)
        torch.testing.assert_close(inside.mean(dim=0), shares, atol=1e-3, rtol=0)
        scores.setdefault("listed", []).append(recall(method, given))
        guesses = inside.argmax(dim=1)
        scores.setdefault("not divided", []).append(float(np.mean([(guesses[given.truth == c] == c).double().mean() for c in range(6)])))
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    assert means["listed"] > means["not divided"] + 0.1, means
