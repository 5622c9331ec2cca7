"""CORAL and FixMatch beside cross-entropy: they help where they should; weight zero is held by the trainer's tests."""

from __future__ import annotations

from typing import Any

import torch

from sere_plugins.losses.coral import Coral
from sere_plugins.losses.cross_entropy import CrossEntropy
from sere_plugins.losses.fixmatch import FixMatch
from sere_plugins.methods.joint import Joint
from sere_plugins.specs.losses import CoralParams, CrossEntropyParams, FixMatchParams
from sere_plugins.specs.methods import JointParams
from sere_registry import Loss, WeightedLoss
from sere_registry.protocols import completed
from tests.probes.driver import Driver, Toy, accuracy, context, copy_of, same


def trained(toy: Toy, adapt: Any = None, weight: float = 1.0, steps: int = 15, lr: float = 0.5) -> Joint:
    torch.manual_seed(7)
    losses = {"classify": (CrossEntropy(CrossEntropyParams(), context()), 1.0), "adapt": (adapt, weight)}
    weighted = {name: WeightedLoss(completed(loss, Loss), w, w) for name, (loss, w) in losses.items() if loss is not None}
    method = Joint(JointParams(), context(losses=weighted))
    Driver(method, method.stages()[0], toy, lr=lr).run(0, steps)
    return method


def fixmatch(threshold: float) -> FixMatch:
    return FixMatch(FixMatchParams(threshold=threshold), context())


def test_a_threshold_that_no_one_reaches_is_source_only_and_another_is_not() -> None:
    toy = Toy.make()
    only = copy_of(trained(toy).backbone.parameters())
    assert same(only, trained(toy, fixmatch(1.01)).backbone.parameters())
    assert not same(only, trained(toy, fixmatch(0.6)).backbone.parameters())


def gain(adapt: Any, weight: float, toy: Toy, steps: int = 80, lr: float = 0.5) -> float:
    """Accuracy on the target, above source-only's."""
    return accuracy(trained(toy, adapt, weight, steps, lr), toy) - accuracy(trained(toy, None, weight, steps, lr), toy)


def test_coral_helps_where_the_target_is_shifted() -> None:
    """Small steps: at large ones CORAL's fourth power of the scale makes the outcome hang on the last bit of a sum."""
    toys = [Toy.make(seed, shift=2.5) for seed in range(4)]
    gains = [gain(Coral(CoralParams(), context()), 10.0, toy, steps=120, lr=0.05) for toy in toys]
    assert sum(gains) > 0.1, gains


def test_fixmatch_helps_where_labels_are_few_and_domains_alike() -> None:
    gains = [gain(fixmatch(0.8), 1.0, Toy.make(seed, shots=1, shift=0.0, spread=1.0)) for seed in range(4)]
    assert sum(gains) > 0.1, gains
