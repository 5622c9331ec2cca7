"""ADoGT: one branch, source-only to the bit, centres, fusion of one utterance at a time, and bad input."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from sere_plugins.methods.adogt import Adogt, GatedFusion
from sere_plugins.methods.joint import Joint
from sere_plugins.specs.adversarial import AdogtParams
from sere_plugins.specs.methods import JointParams
from sere_registry import Loss, SereError, WeightedLoss
from sere_registry.protocols import completed
from tests.probes.driver import Driver, TinyBackbone, Toy, accuracy, context, copy_of, posteriors, same
from tests.probes.golden import det
from tests.train.recipes import classify


def make(**params: Any) -> Adogt:
    torch.manual_seed(0)
    return Adogt(AdogtParams(hidden=16, **params), context(TinyBackbone()))


def run(method: Any, toy: Toy, steps: int, **more: Any) -> None:
    Driver(method, method.stages()[0], toy, **more).run(0, steps)


def test_an_open_gate_is_the_network_alone_and_a_closed_one_the_vector_alone() -> None:
    fusion, first, vectors = GatedFusion(6, 4).double(), det(5, 6, 0.1), det(5, 4, 0.2)
    for bias, expected in ((1e3, first), (-1e3, fusion.projection(vectors))):
        with torch.no_grad():
            fusion.mixing.bias.fill_(bias)
        torch.testing.assert_close(fusion(first, vectors), expected)


def test_without_fusion_and_weights_it_is_source_only_to_the_bit() -> None:
    toy, method = Toy.make(), make(fusion=False, centre_weight=0.0, domain_weight=0.0)
    torch.manual_seed(0)
    backbone = TinyBackbone()
    joint = Joint(JointParams(), context(backbone, losses={"ce": WeightedLoss(completed(classify(context(backbone)), Loss), 1.0, 1.0)}))
    for each in (method, joint):
        run(each, toy, 6)
    assert method.stages()[0].sees == {"labelled"}
    assert same(copy_of(backbone.parameters()), method.backbone.parameters())  # type: ignore[attr-defined]
    assert torch.equal(posteriors(method, toy.vectors["target"]), posteriors(joint, toy.vectors["target"]))


def test_centres_move_towards_the_class_means_and_hold_no_gradient() -> None:
    method, toy = make(centre_rate=1.0), Toy.make()
    driver = Driver(method, method.stages()[0], toy, lr=0.0)
    rows = method.fused(driver.encode("labelled", 0)).detach()
    means = torch.stack([rows[toy.labels == label].mean(dim=0) for label in range(3)])
    gaps = [(method.centres - means).norm().item()]
    for step in range(4):
        driver.run(step, step + 1)
        gaps.append((method.centres - means).norm().item())
    assert all(later < 0.2 * earlier for earlier, later in pairwise(gaps))  # five of each class: 1/6 is left
    assert not method.centres.requires_grad and "centres" in method.state_dict()


@pytest.mark.parametrize("fusion", [True, False])
def test_the_adversary_draws_the_shifted_domain_in(fusion: bool) -> None:
    toy, gaps = Toy.make(shift=2.0), []
    for weight in (0.0, 1.0):
        method = make(fusion=fusion, domain_weight=weight)
        run(method, toy, 150, lr=0.05)
        driver = Driver(method, replace(method.stages()[0], sees=frozenset({"source", "target"})), toy, size=60)
        source, target = (method.fused(driver.encode(stream, 0)).mean(dim=0) for stream in ("source", "target"))
        gaps.append((source - target).norm().item())
    assert gaps[1] < 0.6 * gaps[0] and accuracy(method, toy) > 0.9
    if fusion:
        assert 0 < method.diagnostics()["gate"] < 1


def test_prediction_does_not_depend_on_who_else_is_predicted() -> None:
    toy, method = Toy.make(), make()
    run(method, toy, 3)
    vectors = toy.vectors["target"][:7]
    alone = torch.cat([posteriors(method, row[None]) for row in vectors])
    torch.testing.assert_close(alone, posteriors(method, vectors))


def test_paths_of_two_widths_cannot_be_fused() -> None:
    method = make()
    wider = replace(Driver(method, method.stages()[0], Toy.make()).encode("labelled", 0), vectors=torch.zeros(15, 9))
    with pytest.raises(SereError) as caught:
        method.fused(wider)
    assert [problem.code for problem in caught.value.problems] == ["B402"]
    assert torch.equal(make(fusion=False).fused(wider), wider.embedding)


def test_a_batch_of_one_and_repeated_utterances() -> None:
    toy = Toy.make(shots=1)
    toy.vectors["target"] = toy.vectors["target"][:1].repeat(5, 1)
    method = make()
    driver = Driver(method, method.stages()[0], toy, size=1)
    assert all(torch.tensor(list(terms.values())).isfinite().all() for terms in driver.run(0, 3))
