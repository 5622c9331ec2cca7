"""Soft and hard pseudo-labels in rounds: the terms, when they are renewed, and weight zero."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
import torch
from torch.nn import functional

from sere_plugins.losses.cross_entropy import CrossEntropy
from sere_plugins.methods.joint import Joint
from sere_plugins.methods.soft_hard import SoftHard
from sere_plugins.specs.fusion import SoftHardParams
from sere_plugins.specs.losses import CrossEntropyParams
from sere_plugins.specs.methods import JointParams
from sere_registry import Loss, Progress, WeightedLoss
from sere_registry.protocols import completed
from tests.probes.driver import Driver, Seen, Toy, accuracy, context, copy_of, posteriors, same

POSTERIORS = torch.tensor([[0.95, 0.03, 0.02], [0.5, 0.3, 0.2], [0.05, 0.05, 0.9]], dtype=torch.float64)
LOGITS = torch.tensor([[0.3, -1.0, 2.0], [0.0, 0.0, 0.0], [1.0, 2.0, -0.5]], dtype=torch.float64)


def made(**params: Any) -> SoftHard:
    torch.manual_seed(7)
    return SoftHard(SoftHardParams(**params), context())


def trained(toy: Toy, steps: int = 24, epochs: int = 6, **params: Any) -> SoftHard:
    method = made(**params)
    (stage,) = method.stages()
    driver, each = Driver(method, stage, toy, lr=0.5), steps // epochs
    for epoch in range(epochs):
        for step in range(epoch * each, (epoch + 1) * each):
            driver._step(step, Progress(step, epoch, step / steps))
        ended(method, toy, Progress((epoch + 1) * each - 1, epoch, ((epoch + 1) * each - 1) / steps))
    return method


def ended(method: SoftHard, toy: Toy, progress: Progress) -> int:
    """The round after an epoch that ends so."""
    method.after_epoch(progress, Seen(toy, method.backbone, frozenset({"labelled", "target"})))  # type: ignore[arg-type]
    return int(method.assigned.round)


@pytest.mark.parametrize("labels", ["both", "hard", "soft"])
def test_the_term_is_the_formula(labels: str) -> None:
    logs, total = LOGITS.log_softmax(dim=1), 0.0
    for row, pi in zip(logs, POSTERIORS, strict=True):
        hard, soft = -row[pi.argmax()].item(), -(pi * row).sum().item()
        sure = pi.max() >= 0.9
        total += {"hard": hard if sure else 0.0, "soft": soft, "both": hard if sure else soft}[labels]
    assert made(labels=labels).pseudo(LOGITS, POSTERIORS).item() == pytest.approx(total / 3, abs=1e-12)


@pytest.mark.parametrize("labels", ["both", "hard", "soft"])
def test_the_gradient_is_right(labels: str) -> None:
    leaf = LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: made(labels=labels).pseudo(x, POSTERIORS), (leaf,))
    assert made(labels="hard", threshold=1.0).pseudo(LOGITS, POSTERIORS).item() == 0, "nothing is sure enough"
    assert made(labels="both", threshold=0.0).pseudo(LOGITS, POSTERIORS) == made(labels="hard", threshold=0.0).pseudo(LOGITS, POSTERIORS)
    one = functional.one_hot(torch.tensor([0, 2, 1]), 3).double()
    assert made(labels="soft").pseudo(LOGITS, one) == made(labels="hard").pseudo(LOGITS, one), "a sure soft label is a hard one"


def test_pseudo_labels_are_renewed_when_a_part_of_the_stage_ends() -> None:
    toy = Toy.make()
    plans = [(10, 8, 3, [0, 0, 1, 1, 2, 2, 2, 3, 3, 3]), (2, 1, 3, [0, 0]), (1, 5, 2, [0]), (4, 3, 1, [0, 1, 1, 1])]
    for epochs, steps, rounds, wanted in plans:
        method, total = made(rounds=rounds), epochs * steps
        last = [(epoch + 1) * steps - 1 for epoch in range(epochs)]
        found = [ended(method, toy, Progress(step, epoch, step / total)) for epoch, step in enumerate(last)]
        assert found == wanted and len(method.assigned.posteriors) == (60 if max(wanted) else 0)


def test_they_stay_through_a_round_and_through_a_checkpoint() -> None:
    toy = Toy.make()
    method = trained(toy)
    first = method.assigned.posteriors.clone()
    assert first.shape == (60, 3) and method.diagnostics().keys() == {"hard", "changed", "missing"}
    other = made()
    other.load_state_dict(method.state_dict())
    assert torch.equal(other.assigned.posteriors, first) and other.diagnostics() == method.diagnostics()
    assert ended(method, toy, Progress(23, 5, 23 / 24)) == 3 and torch.equal(method.assigned.posteriors, first)


def test_weight_zero_is_source_only_to_the_bit() -> None:
    toy = Toy.make()
    loss = completed(cast(Loss, CrossEntropy(CrossEntropyParams(), context())), Loss)
    torch.manual_seed(7)
    only = Joint(JointParams(), context(losses={"classify": WeightedLoss(loss, 1.0, 1.0)}))
    Driver(only, only.stages()[0], toy, lr=0.5).run(0, 24)
    assert same(copy_of(only.backbone.parameters()), trained(toy, weight=0.0).backbone.parameters())
    assert not same(copy_of(only.backbone.parameters()), trained(toy).backbone.parameters())


def test_predictions_on_the_target_become_surer_and_hardly_worse() -> None:
    toys = [Toy.make(seed, shots=1, shift=0.0, spread=1.0) for seed in range(3)]
    pairs = [(trained(toy, threshold=0.8), trained(toy, weight=0.0), toy) for toy in toys]
    for taught, alone, toy in pairs:
        sure, unsure = (posteriors(each, toy.vectors["target"]).amax(dim=1).mean() for each in (taught, alone))
        assert sure > unsure + 0.01
    assert sum(accuracy(taught, toy) - accuracy(alone, toy) for taught, alone, toy in pairs) > -0.1


@pytest.mark.parametrize("labels", ["both", "hard", "soft"])
def test_bad_input_is_no_crash_and_no_number_that_is_none(labels: str) -> None:
    method = made(labels=labels)
    certain, apart = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[-300.0, 300.0, 0.0]])
    assert method.pseudo(apart, certain).isfinite()
    assert method.pseudo(0 * apart, certain).item() == pytest.approx(math.log(3), rel=1e-6), "a batch of one"
    toy = Toy.make()
    toy.vectors["target"] = toy.vectors["target"][:1].expand(60, -1)
    alike = trained(toy, labels=labels)
    assert alike.diagnostics()["missing"] == 2 and all(parameter.isfinite().all() for parameter in alike.parameters())
    toy.vectors["target"] = toy.vectors["target"][:1]
    assert len(trained(toy, labels=labels).assigned.posteriors) == 1
