"""Classical CORAL: what recolouring does to covariances, singular ones among them, and the shared classifier."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from sere_plugins.losses.coral import covariance
from sere_plugins.methods.coral_classical import CoralClassical, Covariance, recolour
from sere_plugins.methods.projected import Classifier
from sere_plugins.specs.closed_form import CoralClassicalParams
from sere_registry.guard import running
from tests.probes import golden
from tests.probes.driver import CLASSES, Toy, accuracy, posteriors, solved


def rows(count: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator, dtype=torch.float64)
    return torch.randn(count, width, generator=generator, dtype=torch.float64) @ mixing + 3.0


def mapped(source: Tensor, target: Tensor, ridge: float) -> Tensor:
    return recolour(source, Covariance.of(source), Covariance.of(target), ridge)


def made(toy: Toy, classes: tuple[str, ...] = CLASSES, **params: Any) -> tuple[CoralClassical, dict[str, list[float]]]:
    return solved(lambda context: CoralClassical(CoralClassicalParams(**params), context), toy, classes)


def test_the_public_code_recolours_alike() -> None:
    source, target = golden.det(8, 6, 0.0), golden.det(8, 6, 1.0)
    first, second = Covariance.of(source), Covariance.of(target)
    found = second.times_power(first.times_power(source, -0.5, 1.0), 0.5, 1.0)
    assert found.norm().item() == pytest.approx(golden.RECOLOURED_NORM, abs=1e-12)
    torch.testing.assert_close(found[0], torch.tensor(golden.RECOLOURED_ROW_0, dtype=torch.float64), rtol=0, atol=1e-12)


def test_without_a_ridge_the_source_gets_the_covariance_of_the_target() -> None:
    source, target = rows(60, 5), rows(40, 5, seed=1)
    found = mapped(source, target, ridge=0.0)
    torch.testing.assert_close(covariance(found), covariance(target))
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(5, dtype=torch.float64))


@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_equal_covariances_change_nothing_but_the_mean(ridge: float) -> None:
    source = rows(60, 5)
    torch.testing.assert_close(mapped(source, source + 7.0, ridge), source - source.mean(dim=0))


@pytest.mark.parametrize("ridge", [0.1, 2.0])
@pytest.mark.parametrize("count", [3, 40])
def test_powers_are_those_of_the_whole_matrix_at_both_sides_of_d_and_n(ridge: float, count: int) -> None:
    source, target = rows(count, 12), rows(9, 12, seed=1)
    values, vectors = torch.linalg.eigh(covariance(source) + ridge * torch.eye(12, dtype=torch.float64))
    others, axes = torch.linalg.eigh(covariance(target) + ridge * torch.eye(12, dtype=torch.float64))
    whole = (vectors * values**-0.5) @ vectors.T @ (axes * others**0.5) @ axes.T
    torch.testing.assert_close(mapped(source, target, ridge), (source - source.mean(dim=0)) @ whole)


def test_singular_covariances_are_left_out_where_they_do_not_vary() -> None:
    """Three rows in nine dimensions, without a ridge: finite, and within the span of the target."""
    source, target = rows(20, 9)[:4], rows(20, 9, seed=1)[:3]
    found = mapped(source, target, ridge=0.0)
    centred = target - target.mean(dim=0)
    assert found.isfinite().all() and found.abs().max() < 1e3
    torch.testing.assert_close(found @ torch.linalg.pinv(centred) @ centred, found)
    assert len(Covariance.of(target).values) == 2


def test_neither_moving_nor_turning_both_domains_changes_a_prediction() -> None:
    toy = Toy.make(shots=9)
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))[0]
    turned = Toy({name: (values + 2.0) @ turn for name, values in toy.vectors.items()}, toy.labels, toy.truth)
    found, other = (posteriors(made(each)[0], each.vectors["target"]) for each in (toy, turned))
    torch.testing.assert_close(found, other, rtol=1e-3, atol=1e-4)


def test_helps_where_covariances_differ() -> None:
    """Three features of the target are 6 times as large, and the others tell the classes."""
    toy = Toy.make(shots=30, shift=2.0, width=6)
    scale = torch.tensor([1.0, 1.0, 1.0, 6.0, 6.0, 6.0])
    scaled = Toy({**toy.vectors, "target": toy.vectors["target"] * scale, "source": toy.vectors["source"]}, toy.labels, toy.truth)
    assert accuracy(made(scaled, classifier="logistic")[0], scaled) > 0.9


@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_duplicates_one_target_and_more_features_than_utterances(ridge: float) -> None:
    toy = Toy.make(width=40)
    one = toy.vectors["target"][:1]
    for target in (one, one.repeat(7, 1), toy.vectors["target"][:5]):
        given = Toy({**toy.vectors, "target": target}, toy.labels, toy.truth)
        for use_source in (False, True):
            method, trace = made(given, ridge=ridge, use_source=use_source)
            assert posteriors(method, toy.vectors["target"]).isfinite().all()
            assert trace["target_rank"] == [float(len(target.unique(dim=0)) - 1)]


def test_without_ridge_and_spread_it_says_so() -> None:
    toy, said = Toy.make(), list[str]()
    with running(said.append):
        made(Toy({**toy.vectors, "target": toy.vectors["target"][:1]}, toy.labels, toy.truth), ridge=0.0)
    assert len(said) == 1 and "coral_classical" in said[0]


def test_the_nearest_row_predicts_as_in_scikit_learn_and_one_by_one() -> None:
    given, labels, asked = rows(30, 5), torch.arange(30) % 3, rows(50, 5, seed=1)
    classifier = Classifier("nearest", 5, 4).double()
    classifier.fit(given, labels)
    found = classifier(asked)
    expected = KNeighborsClassifier(1).fit(given.numpy(), labels.numpy()).predict(asked.numpy())
    assert found.argmax(dim=1).tolist() == expected.tolist()
    assert torch.equal(found[:, 3], torch.zeros(50, dtype=torch.float64))
    torch.testing.assert_close(torch.cat([classifier(row[None]) for row in asked]), found)
    torch.testing.assert_close(classifier(given).argmax(dim=1), labels)
    scaled = Classifier("nearest", 5, 4).double()
    scaled.fit(100 * given, labels)
    torch.testing.assert_close(scaled(100 * asked), found)


def test_equal_rows_of_all_classes_leave_the_classes_equal() -> None:
    classifier = Classifier("nearest", 2, 3)
    classifier.fit(torch.ones(4, 2), torch.tensor([0, 1, 0, 1]))
    torch.testing.assert_close(classifier(torch.ones(1, 2)), torch.tensor([[0.5, 0.5, 0.0]]))
