"""Runs one stage of a method: its phases step by step, or its closed form."""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sere_core.config.model import Train
from sere_core.rng import derive
from sere_core.train.coder import Coder, reads
from sere_core.train.seeding import reseed
from sere_core.train.streams import Raw
from sere_core.train.whole import VisibleData
from sere_registry import Phase, Progress, Stage, error, suggest


@dataclass(frozen=True)
class EpochReport:
    """What an epoch's end reports: the means of its terms, and what the method says of itself."""

    epoch: int
    losses: Mapping[str, float]
    diagnostics: Mapping[str, float]


@dataclass
class StageRunner:
    """The loop of one stage.

    Args:
        stage: what to run.
        method: whose stage it is.
        coder: draws and encodes the streams that the stage sees.
        data: the same streams as whole sets.
        train: the config's section.
        steps: steps per epoch; the same for every method of a comparison.
        autocast: makes the context of the forward passes.
        step_end: told of every step's terms.
        names: what an unlabelled item is called -> what messages to the user call it.
    """

    stage: Stage
    method: Any
    coder: Coder
    data: VisibleData
    train: Train
    steps: int
    autocast: Callable[[], AbstractContextManager[Any]]
    step_end: Callable[[int, int, Mapping[str, float]], None]
    place: Any = None
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.epochs = 1 if self.stage.solve else max(1, round(self.train.epochs * self.stage.budget))
        self.optimizers = {} if self.stage.solve else make_optimizers(self.method, self.train, self.place)
        self._check()

    def _check(self) -> None:
        """A stage's phases may read only what it declares that it sees, and train only groups that exist."""
        for phase in self.stage.phases:
            wanted = {"labelled" if name == "support" else name for name in reads(phase)} - {"field", "progress"}
            unseen = wanted - set(self.stage.sees)
            if unseen:
                raise error(
                    "D611",
                    f"stage '{self.stage.name}', phase '{phase.name}' reads {sorted(unseen)}, which the stage does not declare to see",
                )
            if "field" in reads(phase) and getattr(self.method, "field", None) is None:
                raise error(
                    "C311", f"phase '{phase.name}' reads a resonance field, and the config has none", hint="add `resonance: {use: irf}`"
                )
            groups = set(self.method.parameters_by_group())
            unknown = set(phase.trains) - groups
            if unknown:
                raise error("B403", f"phase '{phase.name}' trains {sorted(unknown)}; the method's groups: {sorted(groups)}")

    def run(self, first_epoch: int) -> Iterator[EpochReport]:
        """Epochs from `first_epoch` on; yields after each."""
        if self.stage.begin is not None:
            reseed(derive(self.coder.seed, "begin", self.stage.name))
            self.stage.begin(self.data)
        if self.stage.solve is not None:
            yield self._solve()
            return
        self.method.train()
        for epoch in range(first_epoch, self.epochs):
            sums: dict[str, float] = defaultdict(float)
            for inner in range(self.steps):
                step = epoch * self.steps + inner
                terms = self._step(step, epoch)
                self.step_end(epoch, step, terms)
                for name, value in terms.items():
                    sums[name] += value
            progress = self._progress((epoch + 1) * self.steps - 1, epoch)
            if self.stage.after_epoch is not None:
                reseed(derive(self.coder.seed, "after_epoch", self.stage.name, epoch))
                self.stage.after_epoch(progress, self.data)
            diagnostics = self.method.diagnostics() if hasattr(self.method, "diagnostics") else {}
            yield EpochReport(epoch, {name: value / self.steps for name, value in sums.items()}, dict(diagnostics))

    def _solve(self) -> EpochReport:
        assert self.stage.solve is not None
        reseed(derive(self.coder.seed, "solve", self.stage.name))
        with torch.no_grad():
            trace = self.stage.solve(self.data)
        for name, series in trace.items():
            if not all(math.isfinite(value) for value in series):
                raise error("T501", f"stage '{self.stage.name}': '{name}' of the closed form is not finite")
        self.step_end(0, 0, {name: series[-1] for name, series in trace.items() if series})
        return EpochReport(0, {name: series[-1] for name, series in trace.items() if series}, {})

    def _progress(self, step: int, epoch: int) -> Progress:
        return Progress(step=step, epoch=epoch, fraction=step / (self.epochs * self.steps))

    def _step(self, step: int, epoch: int) -> dict[str, float]:
        progress = self._progress(step, epoch)
        names = frozenset().union(*(reads(phase) for phase in self.stage.phases))
        raws = self.coder.draw(names, step)
        reported: dict[str, float] = {}
        for phase in self.stage.phases:
            wanted = {name: raw for name, raw in raws.items() if name in reads(phase)}
            for repeat in range(phase.repeats):
                terms = self._phase(phase, wanted, progress, repeat)
                prefix = f"{phase.name}." if len(self.stage.phases) > 1 else ""
                reported.update({prefix + name: value for name, value in terms.items()})
        if self.stage.after_step is not None:
            reseed(derive(self.coder.seed, "after_step", self.stage.name, step))
            self.stage.after_step(progress)
        return reported

    def _phase(self, phase: Phase, raws: Mapping[str, Raw], progress: Progress, repeat: int) -> dict[str, float]:
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            batches = self.coder.encode(self.method.backbone, raws, phase.views, progress.step)
            reseed(derive(self.coder.seed, "phase", phase.name, progress.step, repeat))
            terms = phase.loss(**self.coder.inputs(phase, batches, self.method, progress))
        values = self._checked(phase, terms, raws, progress)
        total = sum(terms.values(), start=torch.zeros((), device=self.coder.device))
        if total.requires_grad:
            total.backward()  # type: ignore[no-untyped-call]
            trained = [self.optimizers[name] for name in phase.trains if name in self.optimizers]
            if self.train.clip is not None:
                torch.nn.utils.clip_grad_norm_([p for o in trained for g in o.param_groups for p in g["params"]], self.train.clip)
            for optimizer in trained:
                optimizer.step()
        return values

    def _checked(self, phase: Phase, terms: Mapping[str, Tensor], raws: Mapping[str, Raw], progress: Progress) -> dict[str, float]:
        """The terms as numbers; anything that is not a finite scalar ends the run with its name and its utterances."""
        if not isinstance(terms, Mapping):
            raise error("B403", f"phase '{phase.name}' returns a {type(terms).__name__}, not a mapping from names to scalars")
        for name, term in terms.items():
            if not isinstance(term, Tensor) or term.dim() != 0:
                what = f"shape {tuple(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
                raise error("T501", f"the term '{name}' of phase '{phase.name}' is not a scalar tensor but {what}")
        if not terms:
            return {}
        numbers = torch.stack([term.detach().float() for term in terms.values()]).tolist()
        values = dict(zip(terms, numbers, strict=True))
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            ids = "; ".join(f"{stream}: {', '.join(self._names(stream, raw)[:8])}" for stream, raw in raws.items())
            raise error(
                "T501",
                f"the term '{broken[0]}' is {values[broken[0]]} at stage '{self.stage.name}', step {progress.step} "
                f"(epoch {progress.epoch}); utterances: {ids}",
                hint="lower the learning rate, clip gradients (`train.clip: 1.0`), or look at these files",
            )
        return values

    def _names(self, stream: str, raw: Raw) -> list[str]:
        """Real names for the user's eyes: losses only ever get the opaque ones."""
        items = self.coder.streams["labelled" if stream == "support" else stream].items
        return [self.names.get(items[i].name, items[i].name) for i in raw.index.tolist()]


def optimizer_class(train: Train, place: Any = None) -> type[torch.optim.Optimizer]:
    """The class of torch.optim that the config names, in upper or lower case.

    Raises:
        SereError: C302 if there is none of that name.
    """
    known = {
        name.lower(): value
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
    }
    known.pop("optimizer", None)
    wanted = train.optimizer.use.lower()
    if wanted not in known:
        where = place("train.optimizer.use") if place else ""
        raise error("C302", f"torch.optim has no optimizer '{train.optimizer.use}'", hint=suggest(wanted, known, "optimizers"), place=where)
    return known[wanted]


def make_optimizers(method: Any, train: Train, place: Any = None) -> dict[str, torch.optim.Optimizer]:
    """One optimizer of the config's class for each of the method's groups.

    Raises:
        SereError: C302 if the class does not exist or does not take the arguments.
    """
    chosen = optimizer_class(train, place)
    ways = {"fused", "foreach", "differentiable"}  # of doing the same: one loop over all parameters costs least
    fused = "fused" in inspect.signature(chosen).parameters and ways.isdisjoint(train.optimizer.params)
    made: dict[str, torch.optim.Optimizer] = {}
    for name, group in method.parameters_by_group().items():
        arguments = {**train.optimizer.params, **({"fused": True} if fused else {})}
        if "lr" in arguments:
            arguments["lr"] = float(arguments["lr"]) * group.scale
        parameters = [parameter for parameter in group.parameters if parameter.requires_grad]
        if not parameters:
            continue
        try:
            made[name] = chosen(parameters, **arguments)
        except (TypeError, ValueError) as cause:
            raise error(
                "C302",
                f"torch.optim.{chosen.__name__} does not take {train.optimizer.params}: {cause}",
                place=place("train.optimizer.params") if place else "",
            ) from cause
    return made
