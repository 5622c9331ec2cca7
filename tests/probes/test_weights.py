"""CORAL and FixMatch beside cross-entropy: weight zero is source-only to the bit; a real weight is not."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sere_plugins.losses import coral, fixmatch
from sere_plugins.specs.losses import CoralParams, FixMatchParams
from sere_registry import Group, LabelledBatch, Phase, Stage, UnlabelledBatch
from tests.probes.driver import Driver, TinyBackbone, Toy, accuracy, build_context, copy_of, same


class CrossEntropy(nn.Module):
    def forward(self, labelled: LabelledBatch) -> Mapping[str, Tensor]:
        return {"ce": functional.cross_entropy(labelled.logits, labelled.labels)}


class Sum(nn.Module):
    """Cross-entropy plus a weight times another loss, in one phase."""

    def __init__(self, adapt: nn.Module | None, weight: float) -> None:
        super().__init__()
        self.backbone, self.classify, self.adapt, self.weight = TinyBackbone(), CrossEntropy(), adapt, weight
        self.reads = frozenset() if adapt is None else frozenset(inspect.signature(adapt.forward).parameters)

    def stages(self) -> Sequence[Stage]:
        reads = self.reads | {"labelled"}
        phase = Phase("sum", self.loss, trains=("all",), views=getattr(self.adapt, "views", frozenset()), reads=reads)
        return [Stage("sum", sees=reads, phases=(phase,))]

    def loss(self, **batches: Any) -> Mapping[str, Tensor]:
        terms = dict(self.classify(batches["labelled"]))
        if self.adapt is not None:
            terms.update({name: self.weight * term for name, term in self.adapt(**{name: batches[name] for name in self.reads}).items()})
        return terms

    def parameters_by_group(self) -> Mapping[str, Group]:
        return {"all": Group(list(self.parameters()))}

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        return batch.logits.softmax(dim=-1)


def trained(toy: Toy, adapt: nn.Module | None, weight: float = 1.0, steps: int = 15, lr: float = 0.5) -> Sum:
    torch.manual_seed(7)
    method = Sum(adapt, weight)
    Driver(method, method.stages()[0], toy, lr=lr).run(0, steps)
    return method


def make(name: str, threshold: float = 0.6) -> nn.Module:
    if name == "fixmatch":
        return fixmatch.FixMatch(FixMatchParams(threshold=threshold), build_context())
    return coral.build(CoralParams(use_source=name == "coral+source"), build_context())


@pytest.mark.parametrize("name", ["coral", "coral+source", "fixmatch"])
def test_weight_zero_is_source_only_and_weight_one_is_not(name: str) -> None:
    toy = Toy.make()
    only = copy_of(trained(toy, None).backbone.parameters())
    assert same(only, trained(toy, make(name), weight=0.0).backbone.parameters())
    assert not same(only, trained(toy, make(name), weight=1.0).backbone.parameters())


def test_a_threshold_that_no_one_reaches_is_source_only() -> None:
    toy = Toy.make()
    assert same(copy_of(trained(toy, None).backbone.parameters()), trained(toy, make("fixmatch", threshold=1.01)).backbone.parameters())


def gain(name: str, weight: float, toy: Toy, steps: int = 80, lr: float = 0.5) -> float:
    """Accuracy on the target, above source-only's."""
    adapted, only = (trained(toy, adapt, weight, steps, lr) for adapt in (make(name, threshold=0.8), None))
    return accuracy(adapted, toy) - accuracy(only, toy)


def test_coral_helps_where_the_target_is_shifted() -> None:
    """Small steps: at large ones CORAL's fourth power of the scale makes the outcome hang on the last bit of a sum."""
    gains = [gain("coral+source", 10.0, Toy.make(seed, shift=2.5), steps=120, lr=0.05) for seed in range(4)]
    assert sum(gains) > 0.1, gains


def test_fixmatch_helps_where_labels_are_few_and_domains_alike() -> None:
    gains = [gain("fixmatch", 1.0, Toy.make(seed, shots=1, shift=0.0, spread=1.0)) for seed in range(4)]
    assert sum(gains) > 0.1, gains
