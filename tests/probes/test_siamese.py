"""SimSiam, BYOL and their probes: golden numbers, what the stop of the gradient changes, the target network, stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sere_core.testing.data import Shape, streams
from sere_core.testing.toy import Toy as Task
from sere_core.train.checkpoint import Checkpoint
from sere_core.train.fold import Listener
from sere_plugins.losses.siamese import Byol, SimSiam, byol, simsiam
from sere_plugins.methods.probe import Probe
from sere_plugins.specs import consistency
from sere_plugins.specs.consistency import ByolParams, ByolProbeParams, SimSiamParams, SimSiamProbeParams
from sere_registry import Progress
from tests.probes import golden
from tests.probes.driver import Driver, Toy, accuracy, context, copy_of, same
from tests.probes.golden import det
from tests.train.recipes import made, toy

P, Z = ((det(7, 6, phase), det(7, 6, phase + 0.1)) for phase in (0.0, 0.2))
SMALL: dict[str, Any] = {"hidden": 16, "width": 16}
both = pytest.mark.parametrize("function", [simsiam, byol])


def test_golden_numbers() -> None:
    assert simsiam(P, Z).item() == pytest.approx(golden.SIMSIAM, rel=1e-12)
    assert byol(P, Z).item() == pytest.approx(golden.BYOL, rel=1e-11)


@both
def test_the_range_and_that_no_length_matters(function: Callable[..., Tensor]) -> None:
    least, most = (-1, 1) if function is simsiam else (0, 8)
    assert function(Z[::-1], Z).item() == pytest.approx(least, abs=1e-12)
    assert function((-Z[1], -Z[0]), Z).item() == pytest.approx(most)
    torch.testing.assert_close(function((3 * P[0], P[1] / 7), (Z[0] / 5, 11 * Z[1])), function(P, Z))
    zero = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(function((zero, zero), (Z[0][:1], Z[1][:1])), zero)
    assert slope.isfinite().all()


@both
def test_predictions_alone_get_a_gradient(function: Callable[..., Tensor]) -> None:
    rows = [row.clone().requires_grad_() for row in (*P, *Z)]
    function((rows[0], rows[1]), (rows[2], rows[3])).backward()
    assert rows[0].grad is not None and rows[1].grad is not None and rows[2].grad is None and rows[3].grad is None
    assert torch.autograd.gradcheck(lambda a, b: function((a, b), Z), (rows[0], rows[1]))


def test_without_the_stop_the_projector_of_simsiam_would_get_another_gradient() -> None:
    loss = SimSiam(SimSiamParams(**SMALL), Shape().context()).double()
    target = streams(Shape(), views=frozenset({"target"}))["target"]
    weights = list(loss.projector.parameters())
    stopped = torch.autograd.grad(loss(target)["simsiam"], weights)
    _, (z_1, z_2), (p_1, p_2) = loss.heads(target)
    through = -(torch.cosine_similarity(p_1, z_2).mean() + torch.cosine_similarity(p_2, z_1).mean()) / 2
    assert through.item() == pytest.approx(loss(target)["simsiam"].item())
    assert not all(torch.allclose(a, b) for a, b in zip(stopped, torch.autograd.grad(through, weights), strict=True))


def test_spread_is_zero_for_one_point_and_one_in_all_directions() -> None:
    loss = SimSiam(SimSiamParams(**SMALL), context())
    assert loss.diagnostics() == {}
    for rows, expected in ((torch.ones(4, 8), 0.0), (torch.cat([torch.eye(8), -torch.eye(8)]), 1.0), (torch.ones(1, 8), 0.0)):
        loss._projected = rows
        assert loss.diagnostics() == {"spread": pytest.approx(expected, abs=1e-6)}


def test_the_target_network_follows_by_tau_and_gets_no_gradient() -> None:
    shape = Shape().context()
    loss = Byol(ByolParams(**SMALL, tau=0.9), shape).double()
    assert [loss.decay(t) for t in (0.0, 0.5, 1.0)] == pytest.approx([0.9, 0.95, 1.0])
    before = copy_of(loss.target.parameters())
    assert same(before, shape.backbone.parameters())
    target = streams(Shape(), views=frozenset({"target"}))["target"]
    loss(target)["byol"].backward()
    assert all(value.grad is None for part in (loss.target, loss.target_projector) for value in part.parameters())
    with torch.no_grad():
        for value in (*shape.backbone.parameters(), *loss.projector.parameters()):
            value.add_(1.0)
    loss.after_step(Progress(10**6, 9, 1.0))
    assert same(before, loss.target.parameters()), "tau = 1 must freeze it"
    loss.after_step(Progress(0, 0, 0.0))
    for old, now in zip(before, loss.target.parameters(), strict=True):
        torch.testing.assert_close(now, old + 0.1)
    gaps = [a - b for a, b in zip(loss.projector.parameters(), loss.target_projector.parameters(), strict=True)]
    torch.testing.assert_close(gaps, [torch.full_like(gap, 0.9) for gap in gaps])


def test_on_equal_networks_byol_is_four_plus_four_times_simsiam_of_its_own_projections() -> None:
    loss = Byol(ByolParams(**SMALL), Shape().context()).double()
    target = streams(Shape(), views=frozenset({"target"}))["target"]
    for view in (target.views.weak, target.views.strong):
        object.__setattr__(view, "embedding", loss.target.encode(view).embedding)
    _, projections, predictions = loss.heads(target)
    torch.testing.assert_close(loss(target)["byol"], 4 + 4 * simsiam(predictions, projections))


@pytest.mark.parametrize("spec", [consistency.SIMSIAM, consistency.BYOL])
def test_weight_zero_is_source_only_to_the_bit_and_another_is_not(spec: Any, tmp_path: Path) -> None:
    only = toy().trainer(tmp_path / "only").run().posteriors
    for weight in (0.0, 1.0):
        found = toy(adapt=made(spec, **SMALL), weight=weight).trainer(tmp_path / str(weight)).run().posteriors
        assert torch.equal(found, only) is (weight == 0)


@pytest.mark.parametrize("params", [ByolProbeParams(**SMALL), SimSiamProbeParams(**SMALL, use_source=False, represent=0.25)])
def test_the_probe_learns_a_representation_without_labels_and_then_the_classifier_alone(params: Any, tmp_path: Path) -> None:
    task = Task(lambda context: Probe(params, context))
    represent, probe = task.method().stages()
    assert represent.sees == ({"source", "target"} if params.use_source else {"target"}) and probe.sees == {"labelled"}
    assert (represent.budget, probe.budget) == (params.represent, 1 - params.represent)
    start = {name: value.clone() for name, value in task.method().state_dict().items()}  # type: ignore[attr-defined]
    kept: list[tuple[int, dict[str, Tensor]]] = []

    def saved(path: Path) -> None:
        checkpoint = Checkpoint.load(path)
        kept.append((checkpoint.position.stage, dict(checkpoint.under("method"))))

    task.trainer(tmp_path, epochs=8, listener=Listener(checkpoint_saved=saved)).run()
    first, second = (next(state for stage, state in kept if stage == number) for number in (0, 1))
    last = kept[-1][1]
    for name, value in start.items():
        classifier = name.startswith("backbone.classifier")
        assert torch.equal(first[name], value) or not classifier, name
        assert torch.equal(last[name], second[name]) is not classifier, name
    assert not torch.equal(first["backbone.projections.toy.linear.weight"], start["backbone.projections.toy.linear.weight"])


def test_the_probe_is_above_chance_on_a_toy() -> None:
    found = Toy.make(shift=0.0)
    torch.manual_seed(0)
    method = Probe(SimSiamProbeParams(**SMALL), context())
    for stage in method.stages():
        Driver(method, stage, found, lr=0.1).run(0, 60)
    assert accuracy(method, found) > 0.6
