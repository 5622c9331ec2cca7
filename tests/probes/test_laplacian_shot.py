"""LaplacianShot and LAME: their update and energy, and what is left where lambda is 0 or very large."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

from sere_core.functional import neighbour_graph, unit_rows
from sere_plugins.methods.laplacian_shot import Lame, LaplacianShot, smoothed
from sere_plugins.methods.logistic import Logistic
from sere_plugins.specs.methods import LogisticParams
from sere_plugins.specs.transductive import LameParams, LaplacianShotParams
from tests.probes.driver import Toy, accuracy, posteriors, solved
from tests.probes.golden import det

MAKERS: dict[str, Any] = {"laplacian_shot": (LaplacianShot, LaplacianShotParams), "lame": (Lame, LameParams)}


def made(name: str, toy: Toy, **params: Any) -> tuple[Any, dict[str, list[float]]]:
    method, declared = MAKERS[name]
    return solved(lambda context: method(declared(**params), context), toy)


def test_a_round_by_hand_and_its_fixed_point() -> None:
    unary, graph = det(12, 3, 0.4) + 2, neighbour_graph(unit_rows(det(12, 6, 0.2)), 3)
    weights = graph.to_dense()
    start = (-unary).softmax(dim=1)
    by_hand = torch.stack([torch.softmax(-unary[i] + 0.3 * sum(weights[i, j] * start[j] for j in range(12)), dim=0) for i in range(12)])
    torch.testing.assert_close(smoothed(unary, graph, 0.3, 1, 0.0)[0], by_hand)
    found, _ = smoothed(unary, graph, 0.3, 500, 1e-14)
    torch.testing.assert_close((-unary + 0.3 * weights @ found).softmax(dim=1), found, rtol=1e-5, atol=1e-6)


def test_the_energy_never_rises_where_the_graph_is_positive_semidefinite() -> None:
    rows = unit_rows(det(20, 6, 0.2)).abs()
    kernel = (rows @ rows.T).to_sparse().coalesce()
    _, energies = smoothed(2 * det(20, 4, 0.7) + 3, kernel, 0.2, 100, 0.0)
    assert all(after <= before + 1e-12 for before, after in pairwise(energies)) and energies[-1] < energies[0]


@pytest.mark.parametrize("name", MAKERS)
def test_without_smoothness_the_classifier_answers(name: str) -> None:
    toy = Toy.make(spread=1.5)
    method, trace = made(name, toy, smoothness=0.0)
    found = posteriors(method, toy.vectors["target"])
    assert trace["changed"] == [0.0]
    if name == "lame":
        plain, _ = solved(lambda context: Logistic(LogisticParams(), context), toy)
        expected = posteriors(plain, toy.vectors["target"])
    else:
        rows = [unit_rows(toy.vectors[stream].double()) for stream in ("target", "labelled")]
        means = torch.stack([rows[1][toy.labels == c].mean(dim=0) for c in range(3)])
        expected = torch.stack([-(rows[0] - mean).square().sum(dim=1) for mean in means], dim=1).softmax(dim=1).float()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_in_a_complete_graph_a_large_lambda_leaves_one_class(name: str) -> None:
    toy = Toy.make(spread=1.5)
    found = posteriors(made(name, toy, smoothness=1e4, neighbours=100)[0], toy.vectors["target"])
    assert len(set(found.argmax(dim=1).tolist())) == 1


@pytest.mark.parametrize("name", MAKERS)
def test_a_node_keeps_its_prediction_and_another_takes_one_step(name: str) -> None:
    toy = Toy.make()
    method, _ = made(name, toy, neighbours=4, smoothness=0.5)
    torch.testing.assert_close(posteriors(method, toy.vectors["target"]), method.nodes.carried)
    new = toy.vectors["target"][:3] + 0.2
    around = method.nodes.carried[method.nodes.near(new, 4)].double().sum(dim=1)
    torch.testing.assert_close(posteriors(method, new), (-method.unary(new) + 0.5 * around).softmax(dim=1).float())


def test_neighbours_mend_what_the_classifier_alone_gets_wrong() -> None:
    gains = []
    for seed in range(4):
        toy = Toy.make(seed, spread=1.0, count=90)
        gains.append(accuracy(made("lame", toy)[0], toy) - accuracy(made("lame", toy, smoothness=0.0)[0], toy))
    assert sum(gains) > 0, gains
