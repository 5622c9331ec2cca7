"""MCD: the golden numbers, who moves in which phase, and that the two classifiers stay two."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sere_plugins.methods.mcd import Mcd, class_balance, discrepancy
from sere_plugins.specs.methods import McdParams
from tests.probes.driver import CLASSES, Driver, TinyBackbone, Toy, accuracy, batch, context, copy_of, same
from tests.probes.golden import MCD_CLASS_BALANCE, MCD_DISCREPANCY, det

P1, P2 = det(7, 5, 0.1).softmax(dim=1), det(7, 5, 0.9).softmax(dim=1)


def make(seed: int = 0, **params: float) -> Mcd:
    torch.manual_seed(seed)
    return Mcd(McdParams(**params), context(TinyBackbone()))  # type: ignore[arg-type]


def driver(method: Mcd, toy: Toy | None = None, lr: float = 0.05) -> Driver:
    return Driver(method, method.stages()[0], toy or Toy.make(), lr=lr)


def test_golden_numbers_and_bounds() -> None:
    assert discrepancy(P1, P2).item() == pytest.approx(MCD_DISCREPANCY, rel=1e-12)
    assert class_balance(P1).item() == pytest.approx(MCD_CLASS_BALANCE, rel=1e-12)
    one_hot, uniform = torch.eye(5), torch.full((4, 5), 0.2, dtype=torch.float64)
    assert discrepancy(P1, P1).item() == 0.0
    assert discrepancy(one_hot, one_hot.roll(1, dims=0)).item() == pytest.approx(2 / 5)
    assert class_balance(uniform).item() == pytest.approx(torch.tensor(5.0).log().item(), abs=1e-5)


def test_the_phases_are_a_b_and_n_times_c() -> None:
    method = make(generator_steps=3)
    (stage,) = method.stages()
    assert stage.sees == {"labelled", "target"}
    assert [(phase.name, phase.trains, phase.repeats) for phase in stage.phases] == [
        ("A", ("generator", "classifiers"), 1),
        ("B", ("classifiers",), 1),
        ("C", ("generator",), 3),
    ]


@pytest.mark.parametrize("balance", [0.0, 0.01])
@pytest.mark.parametrize("number, generator_moves, classifiers_move", [(0, True, True), (1, False, True), (2, True, False)])
def test_each_phase_moves_its_own_groups_only(number: int, generator_moves: bool, classifiers_move: bool, balance: float) -> None:
    method = make(class_balance=balance)
    run = driver(method)
    modules = (method.backbone.layer, method.backbone.classifier, method.second)
    before = [copy_of(module.parameters()) for module in modules]
    run.phase(run.stage.phases[number])
    moved = [not same(old, module.parameters()) for old, module in zip(before, modules, strict=True)]
    assert moved == [generator_moves, classifiers_move, classifiers_move]


def test_gradients_stay_where_the_phase_wants_them() -> None:
    method = make()
    run = driver(method)
    run.phase(run.stage.phases[1])
    assert all(parameter.grad is None for parameter in method.backbone.features())  # B: embeddings are detached
    run.phase(run.stage.phases[2])
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in method.backbone.features())


def test_the_discrepancy_rises_in_b_and_falls_in_c() -> None:
    method = make()
    run = driver(method, lr=0.5)

    def disagreement() -> float:
        with torch.no_grad():
            return float(method.agree(run.encode("target", 0))["discrepancy"])  # type: ignore[arg-type]

    for _ in range(50):
        run.phase(run.stage.phases[0])  # labels are learnt, so that cross-entropy's pull in B is weak
    learnt = disagreement()
    for _ in range(20):
        run.phase(run.stage.phases[1])
    risen = disagreement()
    for _ in range(5):
        run.phase(run.stage.phases[2])
    assert risen > learnt and disagreement() < risen


def test_the_second_classifier_is_not_the_first_even_under_its_seed() -> None:
    backbone = TinyBackbone()
    torch.manual_seed(3)
    backbone.classifier = nn.Linear(6, len(CLASSES))
    torch.manual_seed(3)
    method = Mcd(McdParams(), context(backbone))
    assert not torch.equal(method.second.weight, backbone.classifier.weight)


def test_prediction_is_the_softmax_of_the_sum_of_logits() -> None:
    method = make()
    embedding = det(4, 6, 0.3).float()
    both = method.backbone.classifier(embedding) + method.second(embedding)
    torch.testing.assert_close(method.predict(batch(embedding, both)), both.softmax(dim=1))


def test_a_batch_of_one() -> None:
    method = make(class_balance=0.01)
    run = Driver(method, method.stages()[0], Toy.make(), size=1)
    assert all(torch.tensor(list(terms.values())).isfinite().all() for terms in run.run(0, 2))


def test_learns_a_toy() -> None:
    toy = Toy.make(shift=2.0)
    method = make()
    driver(method, toy, lr=0.3).run(0, 60)
    assert accuracy(method, toy) > 0.9
