"""JDA and BDA: what their matrices weigh, the rounds in which the public code is right, and pseudo-labels that miss a class."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from sere_core.functional import distances, unit_rows
from sere_plugins.methods.jda import Bda, Jda, Wbda, estimated_balance, proxy_distance, weighted_contrasts
from sere_plugins.methods.projected import Given
from sere_plugins.methods.tca import Space, Tca, components
from sere_plugins.specs.closed_form import BdaParams, JdaParams, TcaParams, WbdaParams
from tests.probes import golden
from tests.probes.driver import CLASSES, Toy, accuracy, posteriors, rearranged, solved

KINDS: dict[str, tuple[type[Tca], Any]] = {
    "tca": (Tca, TcaParams),
    "jda": (Jda, JdaParams),
    "bda": (Bda, BdaParams),
    "wbda": (Wbda, WbdaParams),
}
ROUNDS = pytest.mark.parametrize("name", ["jda", "bda", "wbda"])


def made(name: str, toy: Toy, classes: tuple[str, ...] = CLASSES, **params: Any) -> tuple[Tca, dict[str, list[float]]]:
    kind, its = KINDS[name]
    return solved(lambda context: kind(its(**params), context), toy, classes)


def matrix(e: Tensor) -> Tensor:
    """M, of norm 1."""
    return e @ e.T / (e @ e.T).norm()


def given() -> Given:
    return Given(golden.det(9, 6, 0.0), torch.arange(9) % 3, golden.det(9, 6, 1.0))


@pytest.mark.parametrize(("balance", "weighted"), golden.BDA)
def test_the_public_code_finds_the_same_in_its_second_round(balance: float, weighted: bool) -> None:
    data = given()
    e = weighted_contrasts(data, torch.tensor(golden.BDA_GUESSES), 1 - balance, balance, shares=weighted)
    k = Space.of(unit_rows(torch.cat([data.source, data.target])), "primal", 1.0).k
    values, norm = golden.BDA[balance, weighted]
    w = components(k, e, mu=1.0, dim=3)
    left = k @ matrix(e) @ k.T + torch.eye(6, dtype=k.dtype)
    torch.testing.assert_close((w.T @ left @ w).diagonal(), torch.tensor(values, dtype=torch.float64), rtol=1e-9, atol=0)
    z = unit_rows((components(k, e, mu=1.0, dim=3, scale="unit").T @ k).T)
    assert distances(z[:9], z[9:]).norm().item() == pytest.approx(norm, rel=1e-9)
    assert data.labels[distances(z[9:], z[:9]).argmin(dim=1)].tolist() == golden.BDA_GUESSES


def test_the_matrices_are_those_of_the_papers() -> None:
    """Positive semidefinite, rows sum to 0, the marginal part times C; b = 1/2 is JDA and b = 0 TCA up to a factor."""
    data, guesses = given(), torch.tensor(golden.BDA_GUESSES)
    e = weighted_contrasts(data, guesses, 1.0, 1.0)
    whole = torch.zeros(18, 18, dtype=torch.float64)
    for weight, ours, theirs in [(3.0, data.labels >= 0, guesses >= 0), *((1.0, data.labels == c, guesses == c) for c in range(3))]:
        column = torch.cat([ours / ours.sum(), -(theirs / theirs.sum())]).double()
        whole += weight * torch.outer(column, column)
    torch.testing.assert_close(e @ e.T, whole, rtol=0, atol=1e-7)
    torch.testing.assert_close(whole.sum(dim=0), torch.zeros(18, dtype=torch.float64), rtol=0, atol=1e-6)
    assert torch.linalg.eigvalsh(e @ e.T).min() > -1e-12
    torch.testing.assert_close(matrix(weighted_contrasts(data, guesses, 0.5, 0.5)), matrix(e))
    torch.testing.assert_close(matrix(weighted_contrasts(data, guesses, 1.0, 0.0)), matrix(weighted_contrasts(data, None, 1.0, 1.0)))
    equal = torch.tensor([0, 1, 2] * 3)
    assert torch.equal(weighted_contrasts(data, equal, 0.0, 1.0, shares=True), weighted_contrasts(data, equal, 0.0, 1.0))


def test_a_class_without_pseudo_labels_has_no_matrix() -> None:
    data, guesses = given(), torch.tensor([0, 2] * 4 + [0])
    assert weighted_contrasts(data, guesses, 1.0, 1.0).shape == (18, 3)
    torch.testing.assert_close(weighted_contrasts(data, guesses, 1.0, 1.0).sum(dim=0), torch.zeros(3, dtype=torch.float64))


def test_relatives_agree_where_they_should() -> None:
    """Of two components in four dimensions: with as many as there are dimensions, all are whitening."""
    toy = Toy.make(shots=8)
    found = {
        key: posteriors(made(name, toy, dim=2, **params)[0], toy.vectors["target"])
        for key, (name, params) in {
            "tca": ("tca", {}),
            "jda": ("jda", {}),
            "jda, one round": ("jda", {"rounds": 1}),
            "bda 0": ("bda", {"balance": 0.0}),
            "bda 1/2": ("bda", {"balance": 0.5}),
        }.items()
    }
    for one, other in (("jda, one round", "tca"), ("bda 0", "tca"), ("bda 1/2", "jda")):
        torch.testing.assert_close(found[one], found[other], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found["jda"], found["tca"], atol=1e-3)


def test_class_means_come_closer_than_by_the_marginal_alone() -> None:
    data = given()
    k = Space.of(unit_rows(torch.cat([data.source, data.target])), "primal", 1.0).k
    guesses = torch.tensor(golden.BDA_GUESSES)
    classes = weighted_contrasts(data, guesses, 0.0, 1.0)
    apart = [
        float((components(k, weighted_contrasts(data, guesses, *w), 0.01, 2).T @ k @ classes).norm()) for w in ((1.0, 0.0), (1.0, 1.0))
    ]
    assert apart[1] < apart[0]


def test_proxy_distances() -> None:
    generator = torch.Generator().manual_seed(0)
    few, many = torch.randn(6, 3, generator=generator), torch.randn(600, 3, generator=generator)
    assert proxy_distance(few, many + 20) == 2.0 and proxy_distance(few, few) == 0.0
    assert proxy_distance(few, many) < 1.5  # by all utterances alike it would be above 1.9: guess the larger domain
    labels = torch.arange(6) % 3
    assert estimated_balance(few, labels, few, labels) == 0.5
    moved = few + torch.tensor([20.0, 0.0, 0.0]) * (1 - 2 * (labels[:, None] == 0))
    assert 0.5 < estimated_balance(few, labels, moved, labels) <= 1.0
    assert 0.0 <= estimated_balance(few[:3], labels[:3], few[:1], labels[:1]) <= 1.0


@ROUNDS
@pytest.mark.parametrize("classifier", ["nearest", "logistic"])
def test_solves_a_toy_and_settles(name: str, classifier: str) -> None:
    toy = Toy.make(shots=10)
    method, trace = made(name, toy, classifier=classifier, use_source=False, dim=3)
    assert len({len(series) for series in trace.values()}) == 1 and trace["missing"][-1] == 0
    assert accuracy(method, toy) > 0.8
    assert trace["changed"][0] == 60 and (trace["changed"][-1] == 0 or len(trace["changed"]) == 10)


@ROUNDS
def test_neither_the_order_of_the_target_nor_the_names_of_classes_matter(name: str) -> None:
    toy = Toy.make(shots=8)
    expected = posteriors(made(name, toy, dim=3)[0], toy.vectors["target"])
    for other, columns in rearranged(toy):
        found = posteriors(made(name, other, dim=3)[0], toy.vectors["target"])[:, columns]
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("name", "balance"), [("jda", None), *product(["bda", "wbda"], [0.5, "estimated", 1.0])])
def test_one_target_duplicates_and_more_features_than_utterances(name: str, balance: Any) -> None:
    toy, params = Toy.make(width=40), {} if balance is None else {"balance": balance}
    one = toy.vectors["target"][:1]
    for target in (one, one.repeat(7, 1), torch.zeros(2, 40)):
        case = Toy({**toy.vectors, "target": target}, toy.labels, toy.truth)
        method, trace = made(name, case, (*CLASSES, "fear"), **params)
        found = posteriors(method, toy.vectors["target"])
        assert found.isfinite().all() and not found[:, 3].any()
        assert trace["missing"][-1] == 2.0
