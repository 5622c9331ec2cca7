"""Label propagation: its closed form, what reaches no one, and class mass; and the graph's nodes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sere_core.functional import neighbour_graph, normalised_graph, unit_rows
from sere_plugins.methods.graph import Nodes
from sere_plugins.methods.label_propagation import LabelPropagation, spread
from sere_plugins.specs.transductive import LabelPropagationParams
from sere_registry.guard import running
from tests.probes.driver import Toy, accuracy, posteriors, solved
from tests.probes.golden import det


def made(toy: Toy, **params: Any) -> tuple[Any, dict[str, list[float]]]:
    return solved(lambda context: LabelPropagation(LabelPropagationParams(**params), context), toy)


@pytest.mark.parametrize("alpha", [0.5, 0.99])
def test_spreading_settles_at_the_closed_form(alpha: float) -> None:
    graph = normalised_graph(neighbour_graph(unit_rows(det(30, 6, 0.2)), 4))
    labels = torch.zeros(30, 3).double()
    labels[[0, 1, 2], [0, 1, 2]] = 1.0
    found, changes = spread(graph, labels, alpha, 100_000, 1e-12)
    expected = (1 - alpha) * torch.linalg.solve(torch.eye(30).double() - alpha * graph.to_dense(), labels)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert changes[-1] <= 1e-12 < changes[0]


def test_a_target_without_an_edge_to_the_source_gets_no_label() -> None:
    """Two far and tight groups: all of T_u lies in one, S_l in the other."""
    toy, far = Toy.make(), torch.eye(4)
    groups = [far[end] + 0.01 * toy.vectors[stream] for end, stream in ((3, "target"), (0, "labelled"))]
    graph = normalised_graph(neighbour_graph(unit_rows(torch.cat(groups)).double(), 5))
    labels = torch.zeros(75, 3).double()
    labels[60:] = torch.eye(3).double()[toy.labels]
    assert not spread(graph, labels, 0.9, 1000, 1e-9)[0][:60].any()


def test_what_no_label_reaches_gets_equal_posteriors_and_a_warning() -> None:
    """Every utterance is there twice, and has the other one as its only neighbour."""
    toy, said = Toy.make(), list[str]()
    twice = {"labelled": toy.vectors["labelled"][::5].repeat(2, 1), "target": toy.vectors["target"][:6].repeat(2, 1)}
    with running(said.append):
        method, trace = made(Toy(twice, torch.arange(3).repeat(2), toy.truth), neighbours=1, use_source=False)
    torch.testing.assert_close(posteriors(method, twice["target"]), torch.full((12, 3), 1 / 3))
    assert trace["unreached"] == [1.0] and len(said) == 1 and "12 of 12" in said[0]


def test_class_mass_is_scaled_once_to_the_shares() -> None:
    toy = Toy.make()
    plain, mass = (made(toy, shares=shares)[0] for shares in ("none", (0.6, 0.2, 0.2)))
    target = toy.vectors["target"]
    before = posteriors(plain, target)
    scaled = before * torch.tensor([0.6, 0.2, 0.2]) / before.sum(dim=0)
    torch.testing.assert_close(posteriors(mass, target), scaled / scaled.sum(dim=1, keepdim=True), rtol=1e-4, atol=1e-5)


def test_a_node_keeps_its_own_labels_and_another_gets_the_mean_of_its_nearest() -> None:
    toy = Toy.make()
    method, _ = made(toy, neighbours=3)
    torch.testing.assert_close(posteriors(method, toy.vectors["target"]), method.nodes.carried[:60], rtol=1e-5, atol=1e-6)
    new = toy.vectors["target"][:2] + 0.3
    near = method.nodes.near(new, 3)
    torch.testing.assert_close(posteriors(method, new), method.nodes.carried[near].mean(dim=1), rtol=1e-5, atol=1e-6)


def test_nodes_are_standardised_within_their_domain() -> None:
    nodes = Nodes(6, 1)
    target, source = 3 * det(20, 6, 0.3) + 5, det(8, 6, 0.9)
    unit = nodes.fit(target, source[:3], source[3:])
    for part in (nodes.rows[:20], nodes.rows[20:]):
        torch.testing.assert_close(part.mean(dim=0), torch.zeros(6), rtol=0, atol=1e-5)
        torch.testing.assert_close(part.std(dim=0, correction=0), torch.ones(6), rtol=0, atol=1e-5)
    torch.testing.assert_close(unit, unit_rows(nodes.rows.double()))
    assert nodes.near(target, 1).squeeze(1).tolist() == list(range(20))


def test_it_helps_where_the_classes_are_clusters() -> None:
    toys = [Toy.make(seed, shift=2.0, count=90, spread=0.6) for seed in range(3)]
    assert min(accuracy(made(toy)[0], toy) for toy in toys) > 0.9
