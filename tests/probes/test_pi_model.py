"""The Pi-model: its formula by hand, who gets a gradient, and that weight zero is source-only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sere_core.testing.data import Shape, streams
from sere_plugins.losses.mean_teacher import PiModel
from sere_plugins.specs.consistency import PI_MODEL, PiModelParams
from sere_registry import Progress, Views
from tests.probes.driver import batch, context
from tests.probes.golden import det
from tests.train.recipes import made, toy


@pytest.mark.parametrize("use_source", [False, True])
def test_it_is_the_squared_error_over_utterances_and_classes_and_the_other_view_gets_no_gradient(use_source: bool) -> None:
    loss = PiModel(PiModelParams(use_source=use_source), Shape().context())
    given = {name: value for name, value in streams(Shape(), views=frozenset(loss.views)).items() if name in loss.reads}
    found = loss(**{**given, "progress": Progress(9, 1, 0.5)})["consistency"]
    views = [given[name].views for name in sorted(loss.views)]
    errors = torch.cat([(each.strong.logits.softmax(1) - each.weak.logits.softmax(1)).square().sum(1) for each in views])
    assert found.item() == pytest.approx(errors.mean().item() / 3)
    found.backward()
    assert all(each.strong.logits.grad.any() and each.weak.logits.grad is None for each in views)


@pytest.mark.parametrize("count", [1, 6])
def test_equal_views_give_exactly_nothing(count: int) -> None:
    logits = det(count, 5, 0.4)
    view = batch(logits, logits)
    loss = PiModel(PiModelParams(), context())
    assert loss(Progress(0, 0, 0.9), replace(view, views=Views(view, view)))["consistency"].item() == 0.0
    assert loss.diagnostics() == {"agreement": 1.0}


def test_weight_zero_is_source_only_to_the_bit_and_another_is_not(tmp_path: Path) -> None:
    only = toy().trainer(tmp_path / "only").run().posteriors
    for weight in (0.0, 5.0):
        found = toy(adapt=made(PI_MODEL), weight=weight).trainer(tmp_path / str(weight)).run().posteriors
        assert torch.equal(found, only) is (weight == 0)
