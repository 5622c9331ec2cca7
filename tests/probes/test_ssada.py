"""SSADA: who moves in which phase, source-only to the bit, what is generated, and bad input."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from sere_core.testing.data import Shape, streams
from sere_plugins.methods.ssada import Ssada
from sere_plugins.specs.adversarial import SsadaParams
from sere_registry import MethodContext, SereError
from tests.probes.driver import copy_of, same

NONE = dict.fromkeys(("domain_weight", "generation_weight", "reconstruction_weight", "synthetic_weight"), 0.0)


def make(shape: Shape | None = None, **params: Any) -> Ssada:
    torch.manual_seed(0)
    given = (shape or Shape()).context()
    method = Ssada(SsadaParams(hidden=16, **params), MethodContext(**vars(given)))
    return method.double()


def batches(method: Ssada, shape: Shape | None = None, without: str = "") -> dict[str, Any]:
    """The three streams, encoded by the method's network; rubbish in padded frames."""
    made = streams(shape or Shape(), padding=math.nan)
    return {name: method.backbone.encode(made[name]) for name in ("labelled", "source", "target") if name != without}  # type: ignore[type-var]


def step(method: Ssada, number: int, stage: int = -1, shape: Shape | None = None) -> dict[str, float]:
    """One phase as the engine runs it."""
    found = method.stages()[stage]
    phase = found.phases[number]
    groups = method.parameters_by_group()
    optimizers = {name: torch.optim.SGD(group.parameters, lr=0.05 * group.scale) for name, group in groups.items()}
    given = batches(method, shape)
    method.zero_grad()
    terms = phase.loss(**{name: given[name] for name in found.sees})
    sum(terms.values(), start=torch.zeros(())).backward()  # type: ignore[no-untyped-call]
    for name in phase.trains:
        optimizers[name].step()
    return {name: term.item() for name, term in terms.items()}


@pytest.mark.parametrize("stage", [0, 1])
@pytest.mark.parametrize("number, moves", [(0, [False, False, True, True]), (1, [True, True, False, False])])
def test_each_phase_moves_its_own_players_only(number: int, moves: list[bool], stage: int) -> None:
    method = make()
    players = (method.backbone, method.generator, method.of_domain, method.of_real)
    before = [copy_of(player.parameters()) for player in players]  # type: ignore[union-attr]
    step(method, number, stage)
    moved = [not same(old, player.parameters()) for old, player in zip(before, players, strict=True)]  # type: ignore[union-attr]
    assert moved == moves


def test_the_first_stage_sees_no_label_and_is_left_out_by_addi() -> None:
    stages = make().stages()
    assert [stage.name for stage in stages] == ["pretrain", "adapt"] and stages[0].sees == {"source", "target"}
    assert sum(stage.budget for stage in stages) == pytest.approx(1)
    assert set(step(make(), 1, 0)) == {"confuse", "pass", "reconstruct"}
    assert [(stage.name, stage.budget) for stage in make(pretrain=0.0).stages()] == [("adapt", 1.0)]


def test_without_weights_the_network_learns_as_source_only_to_the_bit() -> None:
    method, alone = make(pretrain=0.0, **NONE), make(pretrain=0.0)
    optimizer = torch.optim.SGD(alone.backbone.parameters(), lr=0.05)
    for _ in range(4):
        for number in (0, 1):
            step(method, number)
        labelled = batches(alone)["labelled"]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(labelled.logits, labelled.labels).backward()
        optimizer.step()
    assert same(copy_of(alone.backbone.parameters()), method.backbone.parameters())


def test_a_generated_utterance_has_the_generated_mean_and_the_real_one_moves_nowhere() -> None:
    method = make()
    labelled = batches(method)["labelled"]
    means = torch.arange(25.0).view(5, 5).double()
    frames = replace(labelled, inputs=replace(labelled.inputs, frames=method.moved(labelled, means))).inputs.frames
    inside = frames.mask.unsqueeze(-1)
    shift = torch.where(inside, frames.values - labelled.inputs.frames.values, 0.0).sum(dim=1) / inside.sum(dim=1)
    torch.testing.assert_close(shift, means - labelled.vectors)
    again = method.backbone.encode(labelled, method.moved(labelled, labelled.vectors))
    torch.testing.assert_close(again.logits, labelled.logits)


def test_a_perfect_generator_leaves_the_second_discriminator_at_chance() -> None:
    method = make(noise=0)
    given = batches(method)
    _, vectors = method.sides(given["source"], given["target"], given["labelled"])
    method.generated = lambda rows, still=False: vectors  # type: ignore[method-assign,assignment]
    for _ in range(200):
        terms = method.discriminate(**given)
        method.of_real.zero_grad()
        terms["real"].backward()
        with torch.no_grad():
            for parameter in method.of_real.parameters():
                parameter -= 0.1 * parameter.grad
    assert terms["real"].item() == pytest.approx(math.log(2), abs=0.01)
    assert method.learn(**given)["reconstruct"].item() == 0.0
    assert method.diagnostics()["real_accuracy"] == pytest.approx(0.5, abs=0.1)


def test_the_game_moves_the_terms_that_each_player_minimises() -> None:
    """D's own phase lowers its loss; the generator reconstructs better and better."""
    method = make()
    first = step(method, 0)
    for _ in range(30):
        last = step(method, 0)
    assert last["domain"] < first["domain"]
    first = step(method, 1)
    for _ in range(60):
        last = step(method, 1)
    assert last["reconstruct"] < 0.9 * first["reconstruct"] and last["ce"] < first["ce"]


def test_a_batch_of_one_and_paths_of_two_widths() -> None:
    single = Shape(labelled=1, source=1, target=1)
    method = make(single)
    for stage in (0, 1):
        for number in (0, 1):
            assert all(math.isfinite(value) for value in step(method, number, stage, single).values())
    given = batches(method, single)
    given["labelled"] = replace(given["labelled"], vectors=torch.zeros(1, 9))
    with pytest.raises(SereError) as caught:
        method.learn(**given)
    assert [problem.code for problem in caught.value.problems] == ["B402"]
