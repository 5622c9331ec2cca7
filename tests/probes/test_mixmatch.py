"""MixMatch: sharpening, MixUp and both terms by hand, its limits, odd batches, and that weight zero is source-only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sere_core.testing.data import Shape, streams
from sere_plugins.losses.mixmatch import MixMatch, sharpen
from sere_plugins.specs.consistency import MIXMATCH, MixMatchParams
from sere_registry import LabelledBatch, Progress, UnlabelledBatch, Views
from tests.probes.driver import batch, context
from tests.probes.golden import det
from tests.train.recipes import made, toy

NOW = Progress(11, 1, 0.9)
Q = det(7, 5, 0.3).softmax(dim=1)


def test_sharpening_is_nothing_at_one_and_one_hot_near_zero() -> None:
    torch.testing.assert_close(sharpen(Q, 1.0), Q)
    torch.testing.assert_close(sharpen(Q, 0.5), Q.square() / Q.square().sum(dim=1, keepdim=True))
    torch.testing.assert_close(sharpen(Q, 1e-4), torch.nn.functional.one_hot(Q.argmax(dim=1), 5).double())
    assert sharpen(torch.tensor([1.0, 0.0]), 0.5).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("alpha", [0.1, 0.5, 4.0])
def test_every_row_keeps_the_larger_share_and_has_a_draw_and_a_partner_of_its_own(alpha: float) -> None:
    loss = MixMatch(MixMatchParams(alpha=alpha), context())
    rows, aims = torch.eye(40).double(), det(40, 5, 0.2).softmax(dim=1)
    shares, towards = loss.mix(rows, aims, step=3)  # of unit vectors: who is mixed with whom, and how much
    assert (shares.diagonal() >= 0.5).all() and len(shares.diagonal().unique()) > 20
    others = shares.clone().fill_diagonal_(0) > 0
    assert others.sum(dim=0).max() == others.sum(dim=1).max() == 1, "the partners are no permutation"
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(40).double())
    torch.testing.assert_close(towards, shares @ aims)
    torch.testing.assert_close(towards.sum(dim=1), torch.ones(40).double())
    assert (towards >= 0).all()
    assert not torch.equal(loss.mix(rows, aims, step=4)[0], loss.mix(rows, aims, step=3)[0])


def given() -> dict[str, Any]:
    made = streams(Shape(), views=frozenset({"labelled", "target"}))
    return {name: made[name] for name in ("labelled", "target")}


def test_without_mixing_it_is_cross_entropy_and_a_brier_score_against_the_sharpened_guess() -> None:
    shape = Shape().context()
    loss = MixMatch(MixMatchParams(alpha=1e-6, unlabelled_weight=7.0, ramp=1.0), shape)
    batches = given()
    found = loss(progress=Progress(2, 0, 0.25), **batches)
    weak, strong = batches["target"].views.weak, batches["target"].views.strong
    classify = shape.backbone.classifier
    guess = sharpen((weak.logits.softmax(1) + strong.logits.softmax(1)) / 2, 0.5)
    brier = torch.stack([(classify(view.embedding).softmax(1) - guess).square().sum(1) / 3 for view in (weak, strong)]).mean()
    expected = torch.nn.functional.cross_entropy(classify(batches["labelled"].views.weak.embedding), batches["labelled"].labels)
    assert found["mixed"].item() == pytest.approx(expected.item())
    assert found["guessed"].item() == pytest.approx(0.25 * 7 * brier.item())
    assert loss.diagnostics() == {"confidence": pytest.approx(guess.amax(1).mean().item())}
    sum(found.values()).backward()
    assert weak.logits.grad is None and strong.logits.grad is None, "a guess carries a gradient"


def test_its_weight_rises_over_its_ramp() -> None:
    loss = MixMatch(MixMatchParams(unlabelled_weight=8.0, ramp=0.5), context())
    assert [loss.weight(t) for t in (0.0, 0.25, 0.5, 0.9)] == [0.0, 4.0, 8.0, 8.0]


def test_one_utterance_of_each_and_utterances_that_are_there_twice() -> None:
    for count, index in ((1, [0]), (3, [4, 4, 4])):
        rows, logits = det(count, 6, 0.1).float(), 40 * det(count, 3, 0.2).float()
        labels = torch.zeros(count, dtype=torch.long)
        known, view = batch(rows, logits, labels=labels), batch(rows, logits, index=torch.tensor(index))
        assert isinstance(known, LabelledBatch) and isinstance(view, UnlabelledBatch)
        loss = MixMatch(MixMatchParams(), context())
        found = loss(NOW, replace(known, views=Views(known, known)), replace(view, views=Views(view, view)))
        assert all(term.isfinite() for term in found.values())


def test_weight_zero_is_source_only_to_the_bit_and_another_is_not(tmp_path: Path) -> None:
    only = toy().trainer(tmp_path / "only").run().posteriors
    for weight in (0.0, 1.0):
        found = toy(adapt=made(MIXMATCH), weight=weight).trainer(tmp_path / str(weight)).run().posteriors
        assert torch.equal(found, only) is (weight == 0)
