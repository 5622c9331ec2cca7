"""The stand-in for CIAN: what its weights are, source-only to the bit, and classes without anybody."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from sere_plugins.methods.cian_standin import CianStandin, class_gaps, consistent_weights
from sere_plugins.methods.joint import Joint
from sere_plugins.methods.mcd import discrepancy
from sere_plugins.specs.adversarial import CIAN_STANDIN, CianStandinParams
from sere_plugins.specs.methods import JointParams
from sere_registry import Loss, WeightedLoss
from sere_registry.protocols import completed
from tests.probes.driver import Driver, TinyBackbone, Toy, accuracy, context, copy_of, same
from tests.probes.golden import MCD_DISCREPANCY, det
from tests.train.recipes import classify

P1, P2 = det(7, 5, 0.1).softmax(dim=1), det(7, 5, 0.9).softmax(dim=1)
ROWS, LABELS = det(6, 4, 0.3), torch.tensor([0, 0, 1, 1, 2, 0])


def make(**params: Any) -> CianStandin:
    torch.manual_seed(0)
    return CianStandin(CianStandinParams(**params), context(TinyBackbone()))


def run(method: Any, toy: Toy, steps: int, **more: Any) -> list[dict[str, float]]:
    return Driver(method, method.stages()[0], toy, **more).run(0, steps)


def test_it_says_that_it_is_a_stand_in() -> None:
    assert CIAN_STANDIN.evidence == "stand-in" and "standin" in CIAN_STANDIN.name


def test_weights_are_the_formula_and_equal_classifiers_leave_plain_agreement() -> None:
    assert discrepancy(P1, P2).item() == pytest.approx(MCD_DISCREPANCY, rel=1e-12)  # the mean of inc
    found = consistent_weights(P1, P2)
    for row in range(7):
        first, second = int(P1[row].argmax()), int(P2[row].argmax())
        inconsistency = sum(abs(P1[row, c] - P2[row, c]) for c in range(5)) / 5
        for c in range(5):
            assert found[row, c].item() == pytest.approx((1 - inconsistency).item() if first == second == c else 0.0)
    assert torch.equal(consistent_weights(P1, P1), torch.nn.functional.one_hot(P1.argmax(dim=1), 5).double())


def test_gaps_are_the_formula_and_equal_means_cost_nothing() -> None:
    plain = torch.nn.functional.one_hot(LABELS, 3).double()
    assert class_gaps(ROWS, LABELS, ROWS.flip(0), plain.flip(0)).item() == pytest.approx(0.0, abs=1e-30)
    weights = torch.tensor([[0.5, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 0.0]]).double()
    target = det(4, 4, 0.8)
    first = ROWS[LABELS == 0].mean(dim=0) - (0.5 * target[0] + target[1]) / 1.5
    second = ROWS[LABELS == 1].mean(dim=0) - target[2]
    expected = 0.5 * first.square().sum() + 0.25 * second.square().sum()
    assert class_gaps(ROWS, LABELS, target, weights).item() == pytest.approx(expected.item(), rel=1e-12)


def test_nobody_consistent_and_a_class_without_labels_have_no_gap() -> None:
    rows = ROWS.clone().requires_grad_()
    class_gaps(rows, LABELS, det(4, 4, 0.8), torch.zeros(4, 3).double()).backward()
    assert rows.grad is not None and not rows.grad.any()
    only = torch.tensor([[0.0, 0.0, 1.0]]).double()
    assert class_gaps(ROWS[:4], LABELS[:4], det(1, 4, 0.8), only).item() == 0.0


def test_without_weights_it_is_source_only_to_the_bit() -> None:
    toy, method = Toy.make(), make(consistency_weight=0.0, alignment_weight=0.0)
    torch.manual_seed(0)
    backbone = TinyBackbone()
    joint = Joint(JointParams(), context(backbone, losses={"ce": WeightedLoss(completed(classify(context(backbone)), Loss), 1.0, 1.0)}))
    for each in (method, joint):
        run(each, toy, 6)
    assert same(copy_of(backbone.parameters()), method.backbone.parameters())
    assert not same(copy_of(make().second.parameters()), method.second.parameters())


def test_the_classifiers_differ_and_training_makes_them_agree_and_learns_a_toy() -> None:
    toy, method = Toy.make(shift=2.0), make()
    assert not torch.equal(method.second.weight, method.backbone.classifier.weight)  # type: ignore[attr-defined]
    terms = run(method, toy, 120, lr=0.1)
    assert terms[-1]["learn.inconsistency"] < 0.3 * terms[0]["learn.inconsistency"]
    assert accuracy(method, toy) > 0.9 and method.diagnostics()["consistent"] > 0.9


def test_a_batch_of_one_and_repeated_utterances() -> None:
    toy = Toy.make(shots=1)
    toy.vectors["target"] = toy.vectors["target"][:1].repeat(5, 1)
    for size in (1, 5):
        assert all(math.isfinite(value) for terms in run(make(), toy, 3, size=size) for value in terms.values())
