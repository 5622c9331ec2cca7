"""Runs one stage of a method: its phases step by step, or its closed form."""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from sere_core.config.model import Train
from sere_core.rng import reseed
from sere_core.train.device import computes_in
from sere_core.train.network import network
from sere_core.train.streams import BatchMaker, Raw
from sere_core.train.whole import VisibleData
from sere_registry import Group, Method, Phase, Place, Progress, SereError, Stage, error, suggest
from sere_registry.errors import defined, reason
from sere_registry.guard import Owner, call, differentiating, of_user, owner_of, spot, warn, watch_network
from sere_registry.training import READABLE, Schedule, not_terms, over_paths, reads, streams_of

T = TypeVar("T")
P = ParamSpec("P")
_LOWER = "lower the learning rate, clip gradients (`train.clip: 1.0`), or look at these files"

#: the place in the config of a path like "train.optimizer.use"
Placed = Callable[[str], Place]


@dataclass(frozen=True)
class EpochReport:
    """The means of an epoch's terms, and the method's own diagnostics."""

    epoch: int
    losses: Mapping[str, float]
    diagnostics: Mapping[str, float]


@dataclass(frozen=True)
class Trained:
    """A group's optimizer, what its learning rate starts with, and how that changes."""

    optimizer: torch.optim.Optimizer
    schedule: Schedule

    def step(self, fraction: float) -> None:
        """One update, at the learning rate of this point of the stage."""
        if self.schedule != Schedule():
            for group in self.optimizer.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * self.schedule.factor(fraction)
        self.optimizer.step()


@dataclass
class StageRunner:
    """The loop of one stage.

    Args:
        batches: draws and encodes the streams that the stage sees.
        data: the same streams as whole sets.
        steps: steps per epoch; the same for every method of a comparison.
        step_end: called with (epoch, step, terms).
        place: where the config's paths stand, for messages.
        names: what an unlabelled item is called -> what messages to the user call it.
        standardise: see `FoldTrainer`; called before the first step, and after the steps of each epoch.
    """

    stage: Stage
    method: Method
    batches: BatchMaker
    data: VisibleData
    train: Train
    steps: int
    step_end: Callable[[int, int, Mapping[str, float]], object] = lambda epoch, step, terms: None
    place: Placed = lambda path: Place(path=path)
    names: Mapping[str, str] = field(default_factory=dict)
    standardise: Callable[[Method, bool], object] = lambda method, training: None

    def __post_init__(self) -> None:
        self.idle: dict[str, bool] = {}  # term -> has it carried no gradient in this epoch?
        self.half = computes_in(self.train.precision, self.batches.device) == "bfloat16"
        self.epochs = 1 if self.stage.solve else max(1, round(self.train.epochs * self.stage.budget))
        groups = {} if self.stage.solve else self.method.parameters_by_group()
        encoders = set(network(self.method.backbone).encoders.parameters())
        made = {name: make_optimizer(group, self.train, self.place, encoders) for name, group in groups.items()}
        self.trained = {name: each for name, each in made.items() if each is not None}
        self.reads = {phase: reads(phase) for phase in self.stage.phases}
        self._check()

    def _check(self) -> None:
        """A stage's phases may read only what it declares that it sees, and train only groups that exist."""
        for phase in self.stage.phases:
            where, names = f"stage '{self.stage.name}', phase '{phase.name}'", self.reads[phase]
            unknown = sorted(names - READABLE)
            if unknown:
                raise error("B403", f"{where} reads '{unknown[0]}'", suggest(unknown[0], READABLE, "a phase may read"))
            unseen = sorted(streams_of(names) - self.stage.sees)
            if unseen:
                raise error("D611", f"{where} reads {unseen}, which the stage does not declare to see")
            if "field" in names and self.method.field is None:
                what = f"phase '{phase.name}' reads a resonance field, and the config has none"
                raise error("C311", what, hint="add `resonance: {use: irf}`")
            groups = set(self.method.parameters_by_group())
            missing = sorted(set(phase.trains) - groups)
            if missing:
                raise error("B403", f"phase '{phase.name}' trains {missing}; the method's groups: {sorted(groups)}")

    def _call(self, doing: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that the stage brings: whatever it raises is the method's."""
        owner = owner_of(self.method) or Owner(f"the method's stage '{self.stage.name}'", "method", "")
        return call(owner, doing, function, *args, **kwargs)

    def run(self, first_epoch: int) -> Iterator[EpochReport]:
        """Epochs from `first_epoch` on; yields after each."""
        watch_network(self.method)
        self.standardise(self.method, True)
        if self.stage.begin is not None:
            self._reseed("begin")
            self._call("begin", self.stage.begin, self.data)
        if self.stage.solve is not None:
            yield self._solve(self.stage.solve)
            return
        self.method.train()  # type: ignore[attr-defined]  # a Module
        for epoch in range(first_epoch, self.epochs):
            sums: dict[str, float] = defaultdict(float)
            self.idle = dict.fromkeys(self.idle, True)
            for step in range(epoch * self.steps, (epoch + 1) * self.steps):
                terms = self._step(self._progress(step, epoch))
                self.step_end(epoch, step, terms)
                for name, value in terms.items():
                    sums[name] += value
            self.standardise(self.method, True)
            self.batches.forget()
            if self.stage.after_epoch is not None:
                self._reseed("after_epoch", epoch)
                self._call("after_epoch", self.stage.after_epoch, self._progress((epoch + 1) * self.steps - 1, epoch), self.data)
            self._check_epoch(epoch)
            means = {name: value / self.steps for name, value in sums.items()}
            yield EpochReport(epoch, means, self._call("diagnostics", self._diagnostics))

    def _diagnostics(self) -> dict[str, float]:
        found = dict(self.method.diagnostics())
        for value in found.values():
            float(value)  # what is no number is said here, with the method's name
        return found

    def _check_epoch(self, epoch: int) -> None:
        """What no single step shows.

        Raises:
            SereError: T501 for parameters that are not finite.
        """
        for name, parameter in cast(nn.Module, self.method).named_parameters():
            if not isinstance(parameter, UninitializedParameter) and not bool(parameter.isfinite().all()):
                what = f"the parameter '{name}' is not finite after epoch {epoch} of stage '{self.stage.name}'"
                raise error("T501", f"{what}: the gradient of {self._terms(self.idle)}", _LOWER)
        for name, idle in self.idle.items():
            if idle and not self.stage.solve:
                warn(name, "gradient", f"the term {self._terms([name])} carried no gradient in epoch {epoch}: it trained nothing")

    def _terms(self, names: Iterable[str]) -> str:
        """Terms with whose they are and where that is written: `'adapt.gap' (loss 'xyz.gap' of ..., my_loss.py:12)`."""
        losses = getattr(self.method, "losses", None)
        said = []
        for name in names:
            loss = losses[key] if isinstance(losses, nn.ModuleDict) and (key := name.partition(".")[0]) in losses else self.method
            owner, spot = owner_of(loss), defined(getattr(loss, "forward", None))
            spot = spot if loss is not self.method else ""
            said.append(f"'{name}'" + (f" ({', '.join(filter(None, (owner.title, spot)))})" if owner else ""))
        return " or ".join(said) or "the step"

    def _solve(self, solve: Callable[[VisibleData], Mapping[str, object]]) -> EpochReport:
        self._reseed("solve")
        with torch.no_grad():
            trace = self._call("solve", lambda: {name: list(map(float, series)) for name, series in solve(self.data).items()})  # type: ignore
        for name, series in trace.items():
            if not all(math.isfinite(value) for value in series):
                raise error("T501", f"stage '{self.stage.name}': '{name}' of the closed form is not finite")
        last = {name: series[-1] for name, series in trace.items() if series}
        self.step_end(0, 0, last)
        return EpochReport(0, last, {})

    def _reseed(self, *name: str | int) -> None:
        reseed(self.batches.seed, name[0], self.stage.name, *name[1:])

    def _progress(self, step: int, epoch: int) -> Progress:
        return Progress(step=step, epoch=epoch, fraction=step / (self.epochs * self.steps))

    def _step(self, progress: Progress) -> dict[str, float]:
        raws = self.batches.draw(frozenset().union(*self.reads.values()), progress.step)
        reported: dict[str, float] = {}
        for phase in self.stage.phases:
            prefix = f"{phase.name}." if len(self.stage.phases) > 1 else ""
            wanted = {name: raw for name, raw in raws.items() if name in self.reads[phase]}
            for repeat in range(phase.repeats):
                terms = self._phase(phase, wanted, progress, repeat)
                reported.update({prefix + name: value for name, value in terms.items()})
        if self.stage.after_step is not None:
            self._reseed("after_step", progress.step)
            self._call("after_step", self.stage.after_step, progress)
        return reported

    def _phase(self, phase: Phase, raws: Mapping[str, Raw], progress: Progress, repeat: int) -> dict[str, float]:
        for trained in self.trained.values():
            trained.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.batches.device.type, torch.bfloat16) if self.half else nullcontext():
            batches = self.batches.encode(network(self.method.backbone), raws, phase.views, progress.step)
            given = {**batches, "field": self.method.field, "progress": progress}
            reseed(self.batches.seed, "phase", phase.name, progress.step, repeat)
            loss, read = partial(self._call, f"phase '{phase.name}'", phase.loss), {name: given[name] for name in self.reads[phase]}
            terms = over_paths(loss, **read) if phase.each_path else loss(**read)
        values = self._checked(phase, terms, raws, progress)
        total = sum(terms.values(), start=torch.zeros((), device=self.batches.device))
        if total.requires_grad:
            self._backward(total, terms)
            chosen = [self.trained[name] for name in phase.trains if name in self.trained]
            if self.train.clip is not None:
                groups = [group for each in chosen for group in each.optimizer.param_groups]
                torch.nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], self.train.clip)
            for each in chosen:
                each.step(progress.fraction)
        return values

    def _backward(self, total: Tensor, terms: Mapping[str, Tensor]) -> None:
        """The gradients of a step.

        Raises:
            SereError: B404 with the terms whose gradient fails.
        """
        try:
            with differentiating(self.method):
                total.backward()  # type: ignore[no-untyped-call]
        except BaseException as cause:
            if of_user(cause) or isinstance(cause, SereError):
                raise
            guilty = [name for name, term in terms.items() if term.requires_grad and _fails_alike(term, cause)]
            what = f"the gradient of {self._terms(guilty or terms)} failed{spot(cause, '')}: {reason(cause)}"
            raise error("X706" if isinstance(cause, (MemoryError, torch.OutOfMemoryError)) else "B404", what) from cause

    def _checked(self, phase: Phase, terms: object, raws: Mapping[str, Raw], progress: Progress) -> dict[str, float]:
        """The terms as numbers; anything that is not a finite scalar ends the run with its name and its utterances."""
        wrong = not_terms(terms)
        if wrong or not isinstance(terms, Mapping):
            raise error("B403", f"phase '{phase.name}' returns {wrong}")
        if not terms:
            return {}
        for name, term in terms.items():
            if term.device.type not in ("cpu", self.batches.device.type):
                raise error("B403", f"the term {self._terms([name])} is on the device '{term.device}', not '{self.batches.device}'")
        numbers = torch.stack([term.detach().float().to(self.batches.device) for term in terms.values()]).tolist()
        values = dict(zip(terms, numbers, strict=True))
        for name, term in terms.items():
            if self.idle.get(name, True):  # a constant 0 is a term that is switched off
                self.idle[name] = values[name] != 0 and not _reaches(term, cast(nn.Module, self.method))
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            ids = "; ".join(f"{stream}: {', '.join(self._names(stream, raw)[:8])}" for stream, raw in raws.items())
            raise error(
                "T501",
                f"the term {self._terms(broken[:1])} is {values[broken[0]]} at stage '{self.stage.name}', step {progress.step} "
                f"(epoch {progress.epoch}); utterances: {ids}",
                hint=_LOWER,
            )
        return values

    def _names(self, stream: str, raw: Raw) -> list[str]:
        """Real names for the user's eyes: losses only ever get the opaque ones."""
        items = self.batches.streams["labelled" if stream == "support" else stream].items
        return [self.names.get(items[i].name, items[i].name) for i in raw.index.tolist()]


def _reaches(term: Tensor, method: nn.Module) -> bool:
    """Does the term's gradient flow to a parameter of the method?"""
    parameters = {id(parameter) for parameter in method.parameters()}
    if term.grad_fn is None:
        return term.requires_grad and id(term) in parameters
    waiting, seen = [term.grad_fn], {term.grad_fn}
    while waiting:
        node = waiting.pop()
        if id(getattr(node, "variable", None)) in parameters:  # the node of a leaf
            return True
        following = {each for each, _ in node.next_functions if each is not None} - seen
        seen |= following
        waiting += following
    return False


def _fails_alike(term: Tensor, cause: BaseException) -> bool:
    """Does the gradient of this term alone fail as that of all of them did?"""
    try:
        term.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    except BaseException as again:
        return reason(again) == reason(cause)
    return False


def optimizer_class(use: str, place: Placed = lambda path: Place(path=path)) -> type[torch.optim.Optimizer]:
    """The class of torch.optim of that name, in upper or lower case.

    Raises:
        SereError: C302 if there is none.
    """
    classes = [value for value in vars(torch.optim).values() if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)]
    known = {value.__name__.lower(): value for value in classes if value is not torch.optim.Optimizer}
    if use.lower() not in known:
        hint = suggest(use.lower(), known, "optimizers")
        raise error("C302", f"torch.optim has no optimizer '{use}'", hint=hint, place=place("train.optimizer.use"))
    return known[use.lower()]


def make_optimizer(group: Group, train: Train, place: Placed, encoders: Collection[nn.Parameter] = ()) -> Trained | None:
    """The optimizer of a group; None if nothing in it needs a gradient.

    Args:
        encoders: what learns at `train.encoder_rate` times the rate.

    Raises:
        SereError: C302 if the class does not exist or does not take the arguments.
    """
    parameters = [parameter for parameter in group.parameters if parameter.requires_grad]
    if not parameters:
        return None
    chosen = optimizer_class(group.optimizer or train.optimizer.use, place)
    arguments = {**train.optimizer.params, **group.options}
    ways = {"fused", "foreach", "differentiable"}  # of doing the same: one loop over all parameters costs least
    known = inspect.signature(chosen).parameters
    if "fused" in known and ways.isdisjoint(arguments):
        arguments["fused"] = True
    try:
        for name, value in arguments.items():  # torch takes any text for true, and some for a number
            wanted = str(known[name].annotation) if name in known else ""
            kind = type(value).__name__ if isinstance(value, (bool, str, dict)) else ""
            if wanted and (kind not in wanted or ("bool" in wanted and value is not None and kind != "bool")):
                raise TypeError(f"{name} should be {known[name].annotation}")
        if "lr" in arguments:
            arguments["lr"] = float(arguments["lr"]) * group.scale  # type: ignore[arg-type]
        slower = [each for each in parameters if each in encoders] if train.encoder_rate != 1 else []
        own = set(parameters).difference(slower)
        parts: list[dict[str, object]] = [{"params": [each for each in parameters if each in own]}]
        if slower:
            rate = cast(float, arguments.get("lr", known["lr"].default))
            parts.append({"params": slower, "lr": rate * train.encoder_rate})
        made = _without_compiler(chosen, arguments)(parts, **arguments)
    except Exception as cause:  # each class looks at its arguments in its own way
        raise _refused(chosen, {**train.optimizer.params, **group.options}, cause, place) from cause
    return Trained(made, group.schedule or train.schedule)


#: what torch's optimizers do apart from steps, each through a wrapper that imports torch's compiler
_UNCOMPILED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def _without_compiler(chosen: type[torch.optim.Optimizer], arguments: Mapping[str, object]) -> type[torch.optim.Optimizer]:
    """The same optimizer without the wrappers that keep torch's compiler out of it: importing that takes as long as torch itself."""
    if arguments.get("differentiable"):  # a step that is not outside of the graph
        return chosen
    own = {name: inspect.unwrap(getattr(chosen, name)) for name in _UNCOMPILED}
    return type(chosen.__name__, (chosen,), {**own, "step": torch.no_grad()(inspect.unwrap(chosen.step))})


def try_optimizer(train: Train, place: Placed) -> None:
    """That the config's optimizer takes its arguments and makes steps with them; before hours of extraction.

    Raises:
        SereError: C302.
    """
    parameter = torch.nn.Parameter(torch.ones(2, 2))
    trained = make_optimizer(Group([parameter]), train, place)
    assert trained is not None
    try:
        for _ in range(2):
            parameter.grad = torch.ones(2, 2)
            trained.step(0.5)
    except Exception as cause:
        raise _refused(type(trained.optimizer), train.optimizer.params, cause, place) from cause


def _refused(chosen: type[torch.optim.Optimizer], arguments: Mapping[str, object], cause: Exception, place: Placed) -> SereError:
    given = ", ".join(f"{name}: {value!r}"[:100] for name, value in arguments.items())
    what = f"torch.optim.{chosen.__name__} cannot work with {{{given}}}: {reason(cause)}"
    return error("C302", what, place=place("train.optimizer.params"))
