"""Mean Teacher: its average by hand, its formula by hand, and what a run of the engine makes of it."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from sere_core.testing.data import Shape, streams
from sere_core.testing.toy import Toy
from sere_core.train.checkpoint import Checkpoint
from sere_core.train.fold import Listener
from sere_plugins.losses.mean_teacher import MeanTeacher
from sere_plugins.specs.losses import MeanTeacherParams
from sere_registry import BuildContext, Progress
from tests.train.recipes import toy

START = Progress(0, 0, 0.0)


def made(**params: Any) -> tuple[MeanTeacher, Any]:
    context = Shape().context()
    return MeanTeacher(MeanTeacherParams(**params), context), context.backbone


@pytest.mark.parametrize("ema", [0.0, 0.6, 0.999])
def test_the_teacher_is_the_average_by_hand(ema: float) -> None:
    loss, student = made(ema=ema)
    hand = [value.detach().clone() for value in student.parameters()]
    for step in range(5):
        with torch.no_grad():
            for value in student.parameters():
                value.add_(torch.randn_like(value))
        loss.after_step(Progress(step, 0, 0.0))
        decay = min(ema, 1 - 1 / (step + 2))
        hand = [decay * mean + (1 - decay) * value.detach() for mean, value in zip(hand, student.parameters(), strict=True)]
        torch.testing.assert_close(list(loss.teacher.parameters()), hand)
    torch.testing.assert_close(copy.deepcopy(loss).teacher.state_dict(), loss.teacher.state_dict())
    assert not any(name.startswith("_student") for name in loss.state_dict()), "the student is saved with the method"


@pytest.mark.parametrize(("student", "teacher"), [("weak", "strong"), ("strong", "weak")])
def test_the_loss_is_the_formula_and_the_teacher_gets_no_gradient(student: Any, teacher: str) -> None:
    loss, _ = made(student=student, use_source=True, ramp=0.5)
    given = {name: value for name, value in streams(Shape(), views=frozenset({"source", "target"})).items() if name in loss.reads}
    found = loss(**{**given, "progress": Progress(3, 1, 0.2)})["consistency"]
    errors = []
    for batch in (given["target"], given["source"]):
        taught = loss.teacher.encode(getattr(batch.views, teacher)).logits.softmax(dim=1)
        errors += (getattr(batch.views, student).logits.softmax(dim=1) - taught).square().sum(dim=1).tolist()
    assert found.item() == pytest.approx(math.exp(-5 * 0.6**2) * sum(errors) / len(errors) / 3)
    found.backward()
    assert all(not value.requires_grad and value.grad is None for value in loss.teacher.parameters())
    assert getattr(given["target"].views, student).logits.grad.any()
    assert getattr(given["target"].views, teacher).logits.grad is None


def test_the_ramp_ends_at_one_and_two_equal_views_of_equal_networks_agree() -> None:
    loss, student = made(ramp=0.4)
    assert [loss.ramp(t) for t in (0.0, 0.2, 0.4, 0.9)] == pytest.approx([math.exp(-5), math.exp(-1.25), 1.0, 1.0])
    target = streams(Shape(), views=frozenset({"target"}))["target"]
    strong = student.encode(target.views.weak)
    object.__setattr__(target.views, "strong", strong)
    assert loss(START, target)["consistency"].item() == 0.0 and loss.diagnostics() == {"agreement": 1.0}


def assembler(weight: float | None, **params: Any) -> Toy:
    def mean_teacher(context: BuildContext) -> MeanTeacher:
        return MeanTeacher(MeanTeacherParams(**params), context)

    return toy() if weight is None else toy(adapt=mean_teacher, weight=weight)


def test_weight_zero_is_source_only_to_the_bit_and_another_weight_is_not(tmp_path: Path) -> None:
    only = assembler(None).trainer(tmp_path / "only").run().posteriors
    for name, weight, predict, same in (
        ("zero", 0.0, "student", True),
        ("some", 5.0, "student", False),
        ("teacher", 0.0, "teacher", False),
    ):
        found = assembler(weight, predict=predict, ema=0.9).trainer(tmp_path / name).run().posteriors
        assert torch.equal(found, only) is same, name
    student = assembler(0.0, predict="teacher", ema=0.0).trainer(tmp_path / "fast").run().posteriors
    torch.testing.assert_close(student, only)


def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    recipe = assembler(5.0, ema=0.9)
    whole = recipe.trainer(tmp_path / "whole").run().posteriors

    def stop(stage: str, epoch: int, step: int, losses: object) -> None:
        if step == 7:
            raise InterruptedError

    killed = recipe.trainer(tmp_path / "killed", listener=Listener(step_end=stop))
    with pytest.raises(InterruptedError):
        killed.run()
    again = recipe.trainer(tmp_path / "killed").run(Checkpoint.load(killed.path)).posteriors
    assert torch.equal(again, whole)
