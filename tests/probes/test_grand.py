"""GRAND: the golden number, propagation and its expectation, what is left without a graph, and rows that are added later."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sere_core.functional import neighbour_graph, normalised_graph, unit_rows
from sere_plugins.methods.grand import Grand, consistency, propagated
from sere_plugins.specs.transductive import GrandParams
from tests.probes.driver import CLASSES, Driver, Seen, TinyBackbone, Toy, accuracy, context, posteriors
from tests.probes.golden import GRAND_CONSISTENCY, det

LOGS = torch.stack([(1.5 * det(6, 5, 0.1 * k)).log_softmax(dim=1) for k in range(4)])
GRAPH = normalised_graph(neighbour_graph(unit_rows(det(20, 6, 0.2)), 3), loops=True)


def made(toy: Toy, **params: Any) -> Grand:
    """With its graph, untrained."""
    torch.manual_seed(0)
    width = toy.vectors["target"].shape[1]
    method = Grand(GrandParams(**params), context(TinyBackbone(width), width))
    (stage,) = method.stages()
    assert stage.begin is not None
    stage.begin(Seen(toy, TinyBackbone(width), stage.sees))
    return method


def trained(toy: Toy, steps: int = 100, **params: Any) -> Grand:
    method = made(toy, **params)
    driver = Driver(method, method.stages()[0], toy)
    driver.optimizers = {"mlp": torch.optim.Adam(method.mlp.parameters(), lr=0.01, weight_decay=5e-4)}  # type: ignore[dict-item]
    driver.run(0, steps)
    return method.eval()


def mean(order: int) -> list[float]:
    return [1 / (order + 1)] * (order + 1)


def test_golden_consistency() -> None:
    assert consistency(LOGS, 0.5).item() == pytest.approx(GRAND_CONSISTENCY, rel=1e-12)
    assert consistency(LOGS[:1].expand(4, -1, -1), 1.0).item() == pytest.approx(0.0, abs=1e-15)


def test_propagation_is_linear_and_by_hand() -> None:
    x, y, dense = det(20, 3, 0.1), det(20, 3, 0.7), GRAPH.to_dense()
    by_hand = (x + dense @ x + dense @ dense @ x) / 3
    torch.testing.assert_close(propagated(GRAPH, x, mean(2)), by_hand)
    both = propagated(GRAPH, 2 * x - 3 * y, mean(5))
    torch.testing.assert_close(both, 2 * propagated(GRAPH, x, mean(5)) - 3 * propagated(GRAPH, y, mean(5)))
    assert torch.linalg.eigvalsh(dense).abs().max().item() == pytest.approx(1.0, abs=1e-12)


def test_the_mean_over_dropped_nodes_is_what_predicts() -> None:
    x = det(20, 3, 0.1)
    draws = (torch.rand(20, 20_000, generator=torch.Generator().manual_seed(0)) >= 0.5).double()
    whole = propagated(GRAPH, torch.eye(20).double(), mean(4))
    found = whole @ (draws.mean(dim=1, keepdim=True) * x)
    torch.testing.assert_close(found, 0.5 * propagated(GRAPH, x, mean(4)), rtol=0, atol=0.02)


def test_without_graph_and_noise_it_is_an_mlp_on_the_labelled() -> None:
    toy = Toy.make()
    method = made(toy, order=0, drop=0.0, weight=0.0, dropout=0.0, draws=2)
    terms = method.loss()
    rows = toy.vectors["labelled"]
    source = torch.cat([rows, toy.vectors["source"]])
    logits = method.mlp((rows - source.mean(dim=0)) / source.std(dim=0, correction=0))
    assert set(terms) == {"ce"}
    torch.testing.assert_close(terms["ce"], nn.functional.cross_entropy(logits, toy.labels))
    standard = (toy.vectors["target"] - method.nodes.mean) / method.nodes.scale
    torch.testing.assert_close(posteriors(method, toy.vectors["target"]), method.mlp(standard).softmax(dim=1))


def test_terms_by_hand_with_every_node_kept() -> None:
    toy = Toy.make()
    method = made(toy, drop=0.0, dropout=0.0, draws=3, weight=0.7, temperature=0.2)
    terms, carried = method.loss(), method.nodes.carried[:, 4:]
    posterior = method.mlp(carried).softmax(dim=1)
    sharp = posterior**5 / (posterior**5).sum(dim=1, keepdim=True)
    torch.testing.assert_close(terms["consistency"], 0.7 * (posterior - sharp).square().sum(dim=1).mean())
    torch.testing.assert_close(terms["ce"], nn.functional.cross_entropy(method.mlp(carried)[60:75], toy.labels))


@pytest.mark.parametrize("order", [0, 1, 4])
def test_a_new_row_is_the_propagation_of_the_graph_with_it(order: int) -> None:
    """Rows of the nodes stay; the new one is appended with edges to its nearest."""
    toy = Toy.make(count=12)
    method = made(toy, order=order, neighbours=3, drop=0.2)
    new = toy.vectors["target"][:1] + 0.4
    nodes, row = method.nodes, method.nodes.standardised(new)
    near = nodes.near(new, 3)[0]
    unit = unit_rows(nodes.rows.double())
    weights = neighbour_graph(unit, 3).to_dense() + torch.eye(len(unit)).double()
    degrees = weights.sum(dim=1)
    old = weights / (degrees[:, None] * degrees).sqrt()
    whole, state, here = row.double(), nodes.rows.double(), row.double()
    for _ in range(order):
        here = here / 4 + (state[near] / degrees[near, None].sqrt()).sum(dim=0, keepdim=True) / 2
        state, whole = old @ state, whole + here
    method.eval()
    torch.testing.assert_close(posteriors(method, new), method.mlp(0.8 * (whole / (order + 1)).float()).softmax(dim=1))


def test_the_same_graph_after_a_resume_and_no_stream_is_encoded() -> None:
    toy = Toy.make()
    method = made(toy)
    carried = method.nodes.carried.clone()
    (stage,) = method.stages()
    assert stage.begin is not None and stage.phases[0].reads == frozenset() and stage.solve is None
    stage.begin(Seen(toy, TinyBackbone(), stage.sees))
    assert torch.equal(method.nodes.carried, carried)
    assert "source" not in Grand(GrandParams(use_source=False), context(classes=CLASSES)).stages()[0].sees


def test_it_learns_a_toy() -> None:
    toy = Toy.make(shift=1.5)
    assert accuracy(trained(toy, draws=2), toy) > 0.9


def test_duplicates_few_and_missing() -> None:
    toy = Toy.make(count=12)
    target = toy.vectors["target"]

    def check(given: Toy, **params: Any) -> None:
        method = trained(given, steps=2, draws=2, **params)
        found: Tensor = posteriors(method, torch.cat([given.vectors["target"], target[:, :4]]))
        assert found.isfinite().all() and all(parameter.isfinite().all() for parameter in method.parameters())

    for few in (target[:1], target[:1].repeat(7, 1), target[:3]):
        check(Toy({**toy.vectors, "target": few}, toy.labels, toy.truth))
    kept = toy.labels != 1
    check(Toy({**toy.vectors, "labelled": toy.vectors["labelled"][kept]}, toy.labels[kept], toy.truth), use_source=False)
    check(Toy({stream: torch.ones_like(rows) for stream, rows in toy.vectors.items()}, toy.labels, toy.truth))
