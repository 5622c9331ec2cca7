"""The checks of methods, run by the engine's own trainer on a toy of two domains."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import cast

from torch import Tensor, nn

from sere_core.testing.data import all_same, same
from sere_core.testing.frame import check_members
from sere_core.testing.subject import Checks, Subject
from sere_core.testing.toy import Align, Classify, Toy, on_three_paths, streams
from sere_core.train.checkpoint import Checkpoint
from sere_core.train.fold import FoldTrainer, Listener, load_state
from sere_core.train.whole import predict
from sere_registry import MethodContext
from sere_registry.training import STREAMS, reads, streams_of

CHECKS = Checks()


def toy(subject: Subject, *, seed: int = 5, adapt: float | None = 0.5) -> Toy:
    """The method with the toy's losses, or without if it brings its own; `adapt` is the weight of the second, None leaves it out."""

    def recipe(context: MethodContext) -> object:
        return subject.build(context, seed=seed)

    if subject.spec.own_losses:
        return Toy(recipe, seed=seed)
    return Toy(recipe, {"classify": (Classify, 1.0)} | ({} if adapt is None else {"adapt": (Align, adapt)}), seed=seed)


def fold(subject: Subject, made: Toy, epochs: int = 2) -> tuple[Tensor, FoldTrainer]:
    """The posteriors of a trained toy fold, and its trainer."""
    run = made.trainer(subject.fresh("fold"), epochs=epochs)
    return run.run().posteriors, run


def first_fold(subject: Subject) -> tuple[Tensor, FoldTrainer]:
    """Of the method as `toy` makes it; trained once for all checks that only look at it."""
    if "fold" not in subject.kept:
        subject.kept["fold"] = fold(subject, toy(subject))
    found: tuple[Tensor, FoldTrainer] = subject.kept["fold"]
    return found


@CHECKS("method.declares", "build.defaults")
def declares(subject: Subject) -> None:
    """It is a module with a backbone and stages, whose shares of the epochs make one."""
    method = toy(subject).method()
    check_members(method, "backbone stages parameters_by_group predict")
    assert isinstance(method, nn.Module), f"its factory makes a {type(method).__name__}, not a torch.nn.Module"
    stages = method.stages()  # type: ignore[unreachable]
    assert stages, "it has no stage"
    assert len({stage.name for stage in stages}) == len(stages), "two stages have the same name"
    budget = sum(stage.budget for stage in stages)
    assert abs(budget - 1) < 1e-6, f"the budgets of its stages add up to {budget}, not to 1"
    for stage in stages:
        assert (stage.solve is None) == bool(stage.phases), f"stage '{stage.name}' needs either phases or a closed form"
    closed, tagged = not any(stage.phases for stage in stages), "closed form" in subject.spec.tags
    assert closed == tagged, f"{'all' if closed else 'not all'} its stages are solved: a sweep reads that in the tag 'closed form'"


@CHECKS("method.sees", "method.declares")
def sees(subject: Subject) -> None:
    """A stage reads what it declares to see, and wants views of what it reads; other streams may be missing and change no bit."""
    made = toy(subject)
    declared: set[str] = set()
    for stage in made.method().stages():
        assert stage.sees and stage.sees <= set(STREAMS), f"stage '{stage.name}' sees {sorted(stage.sees)}"
        for phase in stage.phases:
            read = streams_of(reads(phase))
            assert read <= stage.sees, f"stage '{stage.name}' reads {sorted(read - stage.sees)}, which it does not declare to see"
            assert phase.views <= read, f"phase '{phase.name}' wants views of {sorted(phase.views - read)}, which it does not read"
        declared |= stage.sees
    some = {name: stream for name, stream in streams().items() if name in declared | {"test"}}
    whole, _ = fold(subject, made, epochs=1)
    if not same(made.trainer(subject.fresh("fold"), epochs=1, streams_=some).run().posteriors, whole):
        repeats = same(fold(subject, made, epochs=1)[0], whole)  # where it does not, that is method.deterministic's to say
        assert not repeats, "streams that no stage declares change what it predicts"


@CHECKS("method.paths", "method.sees")
def paths(subject: Subject) -> None:
    """It trains where S_l, S_u and T_u take three encoders of other widths, and what reads labels is taught on each of them."""
    made = replace(toy(subject), paths=True)
    taught, _ = fold(subject, made, epochs=1)
    if any("labelled" in reads(phase) for stage in made.method().stages() for phase in stage.phases):
        given = on_three_paths()
        given["labelled"] = replace(given["labelled"], others=given["labelled"].others[1:])
        fewer = made.trainer(subject.fresh("fold"), epochs=1, streams_=given).run().posteriors
        assert not same(fewer, taught), "S_l through the encoder of S_u changes nothing: see Encoded.others"


@CHECKS("method.groups", "method.sees")
def groups(subject: Subject) -> None:
    """Its groups hold each trained parameter once, its phases train these and no others, and what is in no group stays."""
    made = toy(subject)
    method = made.method()
    found = method.parameters_by_group()
    members = [id(parameter) for group in found.values() for parameter in group.parameters]
    assert len(set(members)) == len(members), "a parameter is in two groups"
    phases = [phase for stage in method.stages() for phase in stage.phases]
    if not phases:
        return
    for phase in phases:
        assert phase.repeats >= 1 and phase.trains, f"phase '{phase.name}' trains nothing"
        unknown = set(phase.trains) - set(found)
        assert not unknown, f"phase '{phase.name}' trains {sorted(unknown)}; the groups are {sorted(found)}"
    module = cast(nn.Module, method)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    _, run = first_fold(subject)
    after = Checkpoint.load(run.path).under("method")
    for name, parameter in module.named_parameters():
        if id(parameter) in set(members):
            assert not same(after[name], before[name]), f"'{name}' is in a group and stays where it was"
        elif parameter.requires_grad:
            assert same(after[name], before[name]), f"'{name}' is in no group and moved"


@CHECKS("method.deterministic", "method.sees")
def deterministic(subject: Subject) -> None:
    """The same seed gives the same bits."""
    assert same(first_fold(subject)[0], fold(subject, toy(subject))[0]), "two runs of one seed predict other posteriors"


@CHECKS("method.state", "method.deterministic")
def state(subject: Subject) -> None:
    """Its `state_dict` is all there is: a new instance that takes it over predicts the same bits."""
    made = toy(subject)
    found, run = first_fold(subject)
    fresh = toy(subject, seed=6).method()
    load_state(fresh, Checkpoint.load(run.path).under("method"))
    given = streams()
    support = given["labelled"] if "labelled" in fresh.stages()[-1].sees else None
    assert same(predict(fresh, given["test"], support, made.device)["posteriors"], found), (
        "a second instance with its state_dict predicts otherwise"
    )


@CHECKS("method.resumes", "method.deterministic")
def resumes(subject: Subject) -> None:
    """Killed in the middle of an epoch, a fold goes on from its checkpoint to the same bits."""
    made, folder = toy(subject), subject.fresh("killed")
    whole, _ = fold(subject, made, epochs=4)
    done: set[tuple[str, int]] = set()

    def stop(stage: str, epoch: int, step: int, losses: object) -> None:
        before = len(done)
        done.add((stage, step))
        if len(done) > before and len(done) in (5, 11):  # in the second and in the fourth epoch, of three steps each
            raise InterruptedError

    again = None
    while again is None:
        run = made.trainer(folder, epochs=4, listener=Listener(step_end=stop))
        with contextlib.suppress(InterruptedError):
            again = run.run(Checkpoint.load(run.path) if run.path.exists() else None).posteriors
    assert same(again, whole), "killed after 4 steps and again after 10, it goes on to other posteriors"


@CHECKS("method.zero_weight", "method.deterministic")
def zero_weight(subject: Subject) -> None:
    """A loss of weight 0 changes no bit, and another weight does, unless it says that it brings its own losses."""
    if subject.spec.own_losses:
        return
    alone, _ = fold(subject, toy(subject, adapt=None))
    both, run = fold(subject, toy(subject, adapt=0.0))
    assert same(alone, both), "a loss of weight 0 changes what it predicts"
    more, other = first_fold(subject)
    ours, theirs = (Checkpoint.load(each.path).under("method") for each in (run, other))
    assert not all_same(ours, theirs) or not same(more, both), "a loss of weight 0.5 changes nothing: it ignores the losses of the config"
