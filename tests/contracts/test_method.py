"""The contract of methods, run on every one in each of its variants, by the engine's own trainer on a toy of two domains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sere_core.train.checkpoint import Checkpoint
from sere_core.train.fold import load_state
from sere_core.train.whole import predict
from sere_registry import SereError
from sere_registry.training import reads
from tests.contracts.components import Case, cases
from tests.train.toy import CLASSES, ToyAssembler, classify, streams, trainer

CASES = cases("method")
STREAMS = {"labelled", "source", "target"}
#: methods that minimise the losses of the config -> a loss for them; all others bring their own and refuse the config's
LOSSES: dict[str, dict[str, Any]] = {"sere.joint": {"classify": (classify, 1.0)}}


def assembler(case: Case, seed: int = 5) -> ToyAssembler:
    def recipe(context: Any) -> Any:
        return case.spec.load()(case.spec.params(**case.values), context)

    return ToyAssembler(recipe, LOSSES.get(case.name, {}), seed=seed)


def trained(method: Any) -> dict[int, str]:
    return {id(parameter): name for name, parameter in method.named_parameters() if parameter.requires_grad}


def closed_form(method: Any) -> bool:
    return all(stage.solve is not None for stage in method.stages())


@pytest.mark.parametrize("case", CASES)
def test_stages(case: Case) -> None:
    """They say what they see, and what their phases read and train is in what they say."""
    method = assembler(case).method()
    assert isinstance(method, torch.nn.Module)
    stages = method.stages()
    assert stages and len({stage.name for stage in stages}) == len(stages)
    assert sum(stage.budget for stage in stages) == pytest.approx(1.0), "the epochs of the config, all of them and no more"
    for stage in stages:
        assert stage.sees and set(stage.sees) <= STREAMS
        assert (stage.solve is None) == bool(stage.phases), "either phases or a closed form"
        read: set[str] = set()
        for phase in stage.phases:
            wanted = {"labelled" if name == "support" else name for name in reads(phase)}
            read |= wanted & STREAMS
            assert phase.repeats >= 1 and phase.trains and set(phase.trains) <= set(method.parameters_by_group())
            assert set(phase.views) <= wanted
        assert read <= set(stage.sees)
        if stage.phases:
            assert read == set(stage.sees), "a stream that is seen for nothing"


@pytest.mark.parametrize("case", CASES)
def test_groups_partition_what_is_trained(case: Case) -> None:
    """Each trained parameter in one group, each group trained by a phase; a closed form leaves the network as it is."""
    method = assembler(case).method()
    groups = method.parameters_by_group()
    if closed_form(method):
        assert not groups
        return
    members = [id(parameter) for group in groups.values() for parameter in group.parameters]
    assert len(set(members)) == len(members)
    assert set(members) == set(trained(method))
    assert {name for stage in method.stages() for phase in stage.phases for name in phase.trains} == set(groups)


@pytest.mark.parametrize("case", CASES)
def test_it_trains_and_its_state_predicts(case: Case, tmp_path: Path) -> None:
    """Posteriors are posteriors; a new instance with the saved state gives the same bits; what is in a group has moved."""
    made = assembler(case)
    before = {name: value.clone() for name, value in made.method().state_dict().items()}
    run = trainer(tmp_path, made, epochs=2)
    result = run.run().posteriors
    assert result.shape == (15, len(CLASSES)) and torch.isfinite(result).all() and (result >= 0).all()
    torch.testing.assert_close(result.sum(dim=1), torch.ones(len(result)))

    after = Checkpoint.load(run.path).under("method")
    fresh = assembler(case, seed=6).method()
    load_state(fresh, after)
    given = streams()
    support = given["labelled"] if "labelled" in fresh.stages()[-1].sees else None
    again, embeddings = predict(fresh, given["test"], support, made.device)
    assert torch.equal(again, result) and torch.isfinite(embeddings).all()

    inside = {id(parameter) for group in fresh.parameters_by_group().values() for parameter in group.parameters}
    for name, parameter in fresh.named_parameters():
        if id(parameter) in inside:
            assert not torch.equal(after[name], before[name]), f"{name} is in a group and stays where it was"
        elif parameter.requires_grad:
            assert torch.equal(after[name], before[name]), f"{name} is in no group and moved"
    assert all(isinstance(value, float) for value in (fresh.diagnostics() if hasattr(fresh, "diagnostics") else {}).values())


@pytest.mark.parametrize("case", CASES)
def test_without_what_a_stage_does_not_see_it_is_the_same(case: Case, tmp_path: Path) -> None:
    """A stream that no stage declares may be missing, and its absence changes no bit."""
    made = assembler(case)
    seen = {name for stage in made.method().stages() for name in stage.sees}
    whole = trainer(tmp_path / "a", made, epochs=1).run().posteriors
    some = {name: stream for name, stream in streams().items() if name in seen | {"test"}}
    assert torch.equal(trainer(tmp_path / "b", made, epochs=1, streams=some).run().posteriors, whole)


@pytest.mark.parametrize("case", CASES)
def test_losses_are_used_or_refused(case: Case) -> None:
    """Never silently ignored."""
    if case.name in LOSSES:
        assert assembler(case).method().parameters_by_group()
        return
    with pytest.raises(SereError, match="C311"):
        ToyAssembler(lambda context: case.spec.load()(case.spec.params(**case.values), context), {"classify": (classify, 1.0)}).method()
