"""What holds for every method that is fitted to T_u as a whole: bad input, order, names of classes, and one utterance at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sere_plugins.specs import transductive
from sere_registry import ComponentSpec
from tests.probes.driver import CLASSES, Toy, accuracy, posteriors, solved

SPECS = [each for each in vars(transductive).values() if isinstance(each, ComponentSpec)]
METHODS = {spec.name: spec for spec in SPECS if "closed form" in spec.tags}

#: fewer steps than the authors'
FAST: dict[str, dict[str, Any]] = {
    "tim": {"steps": 20, "lr": 3e-3},
    "alpha_tim": {"steps": 20, "lr": 3e-3},
    "pt_map": {"rounds": 3},
    "balanced_self_training": {"rounds": 2},
    "logistic_balanced": {"rounds": 2},
}


def made(name: str, toy: Toy, classes: tuple[str, ...] = CLASSES, **params: Any) -> tuple[Any, dict[str, list[float]]]:
    spec = METHODS[name]
    return solved(lambda context: spec.load()(spec.params(**FAST.get(name, {}), **params), context), toy, classes)


def variants() -> list[tuple[str, dict[str, Any]]]:
    """Each method with its defaults, and as it takes shares."""
    found: list[tuple[str, dict[str, Any]]] = []
    for name, spec in METHODS.items():
        found.append((name, {}))
        shares = spec.params.model_fields.get("shares")
        if shares is not None and name not in ("alpha_tim", "logistic_balanced"):  # whose code is another's here
            found += [(name, {"shares": each}) for each in ("equal", "estimated", (0.4, 0.3, 0.3)) if each != shares.default]
    return found


def with_target(toy: Toy, target: Tensor) -> Toy:
    return Toy({**toy.vectors, "target": target}, toy.labels, torch.zeros(len(target)).long())


def check(method: Any, vectors: Tensor) -> None:
    found = posteriors(method, vectors)
    assert found.isfinite().all() and (found >= 0).all()
    torch.testing.assert_close(found.sum(dim=1), torch.ones(len(vectors)).to(found), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "params"), variants())
def test_duplicates_few_utterances_and_a_single_one(name: str, params: dict[str, Any]) -> None:
    toy = Toy.make(count=20)
    target = toy.vectors["target"]
    for few in (target[:1], target[:1].repeat(7, 1), target[:3], torch.cat([target, target])):
        check(made(name, with_target(toy, few), **params)[0], torch.cat([few, target]))


@pytest.mark.parametrize(("name", "params"), variants())
def test_a_class_without_labels_one_shot_and_a_single_class(name: str, params: dict[str, Any]) -> None:
    toy = Toy.make(count=20)
    for kept in (toy.labels != 1, torch.arange(15) % 5 == 0, toy.labels == 0):
        fewer = Toy({**toy.vectors, "labelled": toy.vectors["labelled"][kept]}, toy.labels[kept], toy.truth)
        method, _ = made(name, fewer, **params)
        check(method, toy.vectors["target"])
        missing = [c for c in range(3) if c not in toy.labels[kept]]
        assert not posteriors(method, toy.vectors["target"])[:, missing].any()


@pytest.mark.parametrize(("name", "params"), variants())
def test_constant_vectors_and_many_more_features_than_utterances(name: str, params: dict[str, Any]) -> None:
    toy = Toy.make(count=9, width=200)
    check(made(name, toy, **params)[0], toy.vectors["target"])
    constant = Toy({stream: torch.ones_like(rows) for stream, rows in toy.vectors.items()}, toy.labels, toy.truth)
    check(made(name, constant, **params)[0], toy.vectors["target"])


@pytest.mark.parametrize("name", METHODS)
def test_the_order_of_the_target_and_the_names_of_classes_change_nothing(name: str) -> None:
    toy = Toy.make(count=24)
    order, names = torch.randperm(24, generator=torch.Generator().manual_seed(0)), torch.tensor([2, 0, 1])
    before = posteriors(made(name, toy)[0], toy.vectors["target"])
    shuffled = posteriors(made(name, with_target(toy, toy.vectors["target"][order]))[0], toy.vectors["target"])
    renamed = posteriors(made(name, Toy(toy.vectors, names[toy.labels], toy.truth))[0], toy.vectors["target"])
    torch.testing.assert_close(shuffled, before, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(renamed[:, names], before, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", METHODS)
def test_an_utterance_is_predicted_alone_as_among_others_also_a_new_one(name: str) -> None:
    toy = Toy.make(count=24)
    method, _ = made(name, toy)
    vectors = torch.cat([toy.vectors["target"][:4], toy.vectors["target"][:4] + 0.05])
    alone = torch.cat([posteriors(method, row[None]) for row in vectors])
    torch.testing.assert_close(posteriors(method, vectors), alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_it_solves_a_toy(name: str) -> None:
    toy = Toy.make()
    assert accuracy(made(name, toy)[0], toy) > 0.9
