"""The checks of methods, run by the engine's own trainer on a toy of two domains."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from sere_core.testing.comparing import all_same, same
from sere_core.testing.subject import Checks, Subject
from sere_core.testing.toy import CLASSES, TESTED, Align, Classify, ToyAssembler, streams, trainer
from sere_core.train.checkpoint import Checkpoint
from sere_core.train.fold import Listener, load_state
from sere_core.train.whole import predict
from sere_registry import Method, SereError
from sere_registry.training import reads

CHECKS = Checks()
STREAMS = {"labelled", "source", "target"}
LOSSES: dict[str, tuple[Any, float]] = {"classify": (Classify, 1.0), "adapt": (Align, 0.5)}


def assembler(subject: Subject, losses: dict[str, tuple[Any, float]] | None = None, seed: int = 5) -> ToyAssembler:
    """Of the method with the toy's losses, or without if it brings its own."""

    def recipe(context: Any) -> Any:
        return subject.spec.load()(subject.spec.params(**subject.params), context)

    made = ToyAssembler(recipe, LOSSES if losses is None else losses, seed=seed)
    return made if takes_losses(subject, recipe) else ToyAssembler(recipe, seed=seed)


def takes_losses(subject: Subject, recipe: Any) -> bool:
    """Does it minimise the losses of the config?  One that does not must refuse them."""
    try:
        ToyAssembler(recipe, LOSSES).method()
    except SereError as problem:
        if problem.problems[0].code == "C311":
            return False
        raise
    return True


def fold(subject: Subject, made: ToyAssembler, **more: Any) -> tuple[Tensor, Any]:
    """The posteriors of a trained toy fold, and its trainer."""
    run = trainer(subject.fresh("fold"), made, **more)
    return run.run().posteriors, run


@CHECKS("method.declares", "build.defaults")
def declares(subject: Subject) -> None:
    """It is a module with a backbone and stages, whose shares of the epochs make one."""
    method: object = assembler(subject).method()
    missing = [name for name in ("backbone", "stages", "parameters_by_group", "predict") if not hasattr(method, name)]
    assert not missing, f"it has no {', '.join(missing)}"
    assert isinstance(method, nn.Module), f"its factory makes a {type(method).__name__}, not a torch.nn.Module"
    stages = cast(Method, method).stages()
    assert stages, "it has no stage"
    assert len({stage.name for stage in stages}) == len(stages), "two stages have the same name"
    budget = sum(stage.budget for stage in stages)
    assert abs(budget - 1) < 1e-6, f"the budgets of its stages add up to {budget}, not to 1"
    for stage in stages:
        assert (stage.solve is None) == bool(stage.phases), f"stage '{stage.name}' needs either phases or a closed form"


@CHECKS("method.sees", "method.declares")
def sees(subject: Subject) -> None:
    """A stage reads what it declares to see, and all of it; other streams may be missing and change no bit."""
    made = assembler(subject)
    declared = set()
    for stage in made.method().stages():
        assert stage.sees and set(stage.sees) <= STREAMS, f"stage '{stage.name}' sees {sorted(stage.sees)}"
        read = {"labelled" if name == "support" else name for phase in stage.phases for name in reads(phase)} & STREAMS
        assert read <= set(stage.sees), f"stage '{stage.name}' reads {sorted(read - set(stage.sees))}, which it does not declare to see"
        declared |= set(stage.sees)
    some = {name: stream for name, stream in streams().items() if name in declared | {"test"}}
    whole, _ = fold(subject, made, epochs=1)
    if not same(fold(subject, made, epochs=1, streams_=some)[0], whole):
        repeats = same(fold(subject, made, epochs=1)[0], whole)  # where it does not, that is method.deterministic's to say
        assert not repeats, "streams that no stage declares change what it predicts"


@CHECKS("method.groups", "method.sees")
def groups(subject: Subject) -> None:
    """Its groups hold each trained parameter once, its phases train groups that exist, and what is in no group stays."""
    made = assembler(subject)
    method = made.method()
    found = method.parameters_by_group()
    members = [id(parameter) for group in found.values() for parameter in group.parameters]
    assert len(set(members)) == len(members), "a parameter is in two groups"
    if all(stage.solve is not None for stage in method.stages()):
        return
    for stage in method.stages():
        for phase in stage.phases:
            assert phase.repeats >= 1 and phase.trains, f"phase '{phase.name}' trains nothing"
            unknown = set(phase.trains) - set(found)
            assert not unknown, f"phase '{phase.name}' trains {sorted(unknown)}; the groups are {sorted(found)}"
    before = {name: value.clone() for name, value in method.state_dict().items()}
    _, run = fold(subject, made)
    after = Checkpoint.load(run.path).under("method")
    for name, parameter in method.named_parameters():
        if id(parameter) in set(members):
            assert not same(after[name], before[name]), f"'{name}' is in a group and stays where it was"
        elif parameter.requires_grad:
            assert same(after[name], before[name]), f"'{name}' is in no group and moved"


@CHECKS("method.posteriors", "method.sees")
def posteriors(subject: Subject) -> None:
    """It predicts posteriors `[B, C]`, finite, not negative, with sum 1."""
    found, _ = fold(subject, assembler(subject))
    wide = (TESTED, len(CLASSES))
    assert found.shape == wide, f"its predictions have shape {tuple(found.shape)}, not {wide}"
    assert bool(torch.isfinite(found).all()) and bool((found >= 0).all()), "its predictions are negative or not finite"
    assert torch.allclose(found.sum(dim=1), torch.ones(len(found)), atol=1e-4), "its predictions do not add up to 1"


@CHECKS("method.deterministic", "method.posteriors")
def deterministic(subject: Subject) -> None:
    """The same seed gives the same bits."""
    made = assembler(subject)
    assert same(fold(subject, made)[0], fold(subject, made)[0]), "two runs of one seed predict other posteriors"


@CHECKS("method.state", "method.deterministic")
def state(subject: Subject) -> None:
    """Its `state_dict` is all there is: a new instance that takes it over predicts the same bits."""
    made = assembler(subject)
    found, run = fold(subject, made)
    fresh = assembler(subject, seed=6).method()
    load_state(fresh, Checkpoint.load(run.path).under("method"))
    given = streams()
    support = given["labelled"] if "labelled" in fresh.stages()[-1].sees else None
    assert same(predict(fresh, given["test"], support, made.device)[0], found), "a second instance with its state_dict predicts otherwise"


@CHECKS("method.resumes", "method.deterministic")
def resumes(subject: Subject) -> None:
    """Killed in the middle of an epoch, a fold goes on from its checkpoint to the same bits."""
    made = assembler(subject)
    whole, _ = fold(subject, made, epochs=4)
    for after in (4, 10):  # in the second and in the fourth epoch, of three steps each
        steps: list[int] = []

        def stop(stage: str, epoch: int, step: int, losses: object, steps: list[int] = steps, after: int = after) -> None:
            steps.append(step)
            if len(steps) == after + 1:
                raise InterruptedError

        run = trainer(subject.fresh("killed"), made, epochs=4, listener=Listener(step_end=stop))
        try:
            run.run()
        except InterruptedError:
            kept = Checkpoint.load(run.path) if run.path.exists() else None
            again = trainer(run.path.parent, made, epochs=4).run(kept).posteriors
            assert same(again, whole), f"killed after {after} steps, it goes on to other posteriors"


@CHECKS("method.zero_weight", "method.deterministic")
def zero_weight(subject: Subject) -> None:
    """A loss of weight 0 changes no bit; a method that brings its own losses refuses those of the config (C311)."""
    if not assembler(subject).losses:
        return
    alone, _ = fold(subject, assembler(subject, {"classify": LOSSES["classify"]}))
    both, run = fold(subject, assembler(subject, {**LOSSES, "adapt": (Align, 0.0)}))
    assert same(alone, both), "a loss of weight 0 changes what it predicts"
    more, other = fold(subject, assembler(subject))
    ours, theirs = (Checkpoint.load(each.path).under("method") for each in (run, other))
    assert not all_same(ours, theirs) or not same(more, both), "a loss of weight 0.5 changes nothing: it ignores the losses of the config"
