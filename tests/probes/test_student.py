"""A network that learns what teachers say: their pseudo-labels, the term, weight zero, and who may teach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from pydantic import ValidationError

from sere_plugins.losses.cross_entropy import CrossEntropy
from sere_plugins.methods.balanced_self_training import LogisticBalanced
from sere_plugins.methods.joint import Joint
from sere_plugins.methods.logistic import Logistic
from sere_plugins.methods.student import Student
from sere_plugins.specs.losses import CrossEntropyParams
from sere_plugins.specs.methods import JointParams, LogisticParams, StudentParams
from sere_plugins.specs.transductive import LogisticBalancedParams
from sere_registry import Loss, SereError, WeightedLoss
from sere_registry.protocols import completed
from tests.probes.driver import Driver, Seen, Toy, context, copy_of, posteriors, same

LOGITS = torch.tensor([[0.3, -1.0, 2.0], [0.0, 0.0, 0.0], [1.0, 2.0, -0.5]], dtype=torch.float64)
TAUGHT = torch.tensor([[0.95, 0.03, 0.02], [0.5, 0.3, 0.2], [0.05, 0.05, 0.9]], dtype=torch.float64)


def losses() -> dict[str, WeightedLoss]:
    return {"ce": WeightedLoss(completed(cast(Loss, CrossEntropy(CrossEntropyParams(), context())), Loss), 1.0, 1.0)}


def logistic(C: float = 1.0) -> Any:
    return Logistic(LogisticParams(C=C), context())


def balanced() -> Any:
    return LogisticBalanced(LogisticBalancedParams(), context())


def made(teachers: Sequence[Any], **params: Any) -> Student:
    torch.manual_seed(7)
    return Student(StudentParams(**params), context(losses=losses(), parts=lambda name: {"teachers": tuple(teachers)}[name]))


def trained(toy: Toy, teachers: Sequence[Any], steps: int = 40, **params: Any) -> Student:
    method = made(teachers, **params)
    first, second = method.stages()
    assert first.solve is not None
    first.solve(Seen(toy, method.backbone, first.sees))  # type: ignore[arg-type]
    Driver(method, second, toy, lr=0.5).run(0, steps)
    return method


def test_the_term_is_the_formula() -> None:
    logs = LOGITS.log_softmax(dim=1)
    total = -(0.95 * logs[0, 0] + 0.5 * logs[1, 0] + 0.9 * logs[2, 2]).item()
    student = made([logistic()])
    assert student.pseudo(LOGITS, TAUGHT).item() == pytest.approx(total / 3, abs=1e-12)
    assert torch.autograd.gradcheck(lambda x: student.pseudo(x, TAUGHT), (LOGITS.clone().requires_grad_(),))


def test_what_is_kept_is_the_geometric_mean_of_the_teachers() -> None:
    toy = Toy.make()
    each = [logistic(), logistic(C=0.01), balanced()]
    student = trained(toy, each, steps=0)
    for stream in ("source", "target"):
        logs = torch.stack([posteriors(teacher, toy.vectors[stream]).double().log() for teacher in each]).mean(dim=0)
        expected = logs.exp() / logs.exp().sum(dim=1, keepdim=True)
        torch.testing.assert_close(getattr(student.taught, stream).double(), expected, atol=1e-6, rtol=0)


def test_only_what_they_said_is_part_of_the_state() -> None:
    toy = Toy.make()
    student = trained(toy, [logistic()], steps=0)
    assert not any("teachers" in name for name in student.state_dict())
    other = made([logistic()])
    other.load_state_dict(student.state_dict())
    assert torch.equal(other.taught.target, student.taught.target) and len(other.taught.source) == 60


def test_weights_of_zero_are_the_configs_losses_to_the_bit() -> None:
    toy = Toy.make()
    torch.manual_seed(7)
    alone = Joint(JointParams(), context(losses=losses()))
    Driver(alone, alone.stages()[0], toy, lr=0.5).run(0, 40)
    student = trained(toy, [logistic()], source_weight=0.0, target_weight=0.0)
    assert same(copy_of(alone.backbone.parameters()), student.backbone.parameters())
    assert not same(copy_of(alone.backbone.parameters()), trained(toy, [logistic()]).backbone.parameters())
    assert student.stages()[1].sees == {"labelled"}


def test_the_network_comes_to_say_what_the_teacher_says() -> None:
    """Where source-only says otherwise: of a target that is shifted, by a teacher that knows its shares."""
    for seed in range(3):
        toy = Toy.make(seed, shots=1, shift=2.0, spread=1.2)
        taught, alone = (trained(toy, [balanced()], steps=200, source_weight=w, target_weight=w) for w in (1.0, 0.0))
        labels = taught.taught.target.argmax(dim=1)
        agrees = [(posteriors(each, toy.vectors["target"]).argmax(dim=1) == labels).float().mean() for each in (taught, alone)]
        assert agrees[0] > 0.95 and agrees[0] > agrees[1] + 0.1


def test_somebody_teaches() -> None:
    with pytest.raises(ValidationError):
        StudentParams(teachers=())


def test_a_teacher_is_fitted_in_closed_form() -> None:
    with pytest.raises(SereError) as caught:
        made([logistic(), Joint(JointParams(), context(losses=losses()))])
    (problem,) = caught.value.problems
    assert (problem.code, problem.place.path) == ("C302", "method.params.teachers.1")
