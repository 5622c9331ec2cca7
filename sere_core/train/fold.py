"""One fold: a method's stages in order, checkpoints between epochs, the selected epoch, and the posteriors.

Between two stages the method's state is taken out, the instance is dropped, and a new one is built that is given only
the streams which the next stage declares: what a stage may not see does not exist while it runs.
"""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from sere_core.config.model import Train
from sere_core.train.build import Builder
from sere_core.train.checkpoint import Checkpoint, Position, optimizer_tensors, restore_optimizer
from sere_core.train.network import network
from sere_core.train.stage import EpochReport, StageRunner
from sere_core.train.streams import BatchMaker, StreamSet, ViewChains
from sere_core.train.whole import VisibleData, embeddings, predict, predict_mixtures, readings
from sere_registry import Method, Selector, Stage, error
from sere_registry.guard import warn
from sere_registry.protocols import KEPT

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Listener:
    """What is called when something happens in a fold."""

    stage_start: Callable[[str, int, int, int], object] = lambda stage, epochs, steps, first: None
    step_end: Callable[[str, int, int, Mapping[str, float]], object] = lambda stage, epoch, step, losses: None
    epoch_end: Callable[[str, EpochReport, float | None], str] = lambda stage, report, score: ""
    checkpoint_saved: Callable[[Path], object] = lambda path: None
    should_stop: Callable[[str, int], str | None] = lambda stage, epoch: None


@dataclass(frozen=True)
class FoldResult:
    """What a trained fold predicts for its test utterances, and which epoch was kept.

    Args:
        posteriors: `[n, C]`.
        embeddings: `[n, D]`.
        kept_epoch: None where the last one is kept.
        pseudo: `[n]` long, the pseudo-labels of a method that assigns some.
        support: `[n_l, D]`, the embeddings of S_l, for pictures; None where the last stage may not see it.
        epochs: the same after each epoch of the last stage, where all are kept; the epoch's number -> its result.
    """

    posteriors: Tensor
    embeddings: Tensor
    kept_epoch: int | None
    pseudo: Tensor | None = None
    support: Tensor | None = None
    epochs: Mapping[int, FoldResult] = field(default_factory=dict)

    @classmethod
    def of(cls, kept: State, position: Position, every: State | None = None) -> FoldResult:
        """From the tensors of a finished fold's checkpoint; laid out alike wherever they come from, for scores of the same bits.

        Args:
            every: the results of epochs, named `number/name`.
        """
        kept = {name: value.clone(memory_format=torch.contiguous_format) for name, value in kept.items()}
        parts: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for path, value in (every or {}).items():
            number, _, name = path.partition("/")
            parts[int(number)][name] = value
        epochs = {number: cls.of(part, replace(position, best_epoch=number)) for number, part in sorted(parts.items())}
        return cls(kept["posteriors"], kept["embeddings"], position.best_epoch, kept.get("pseudo"), kept.get("support"), epochs)


@dataclass
class FoldTrainer:
    """Trains and applies the method on one fold.

    Args:
        streams: labelled, source, target, test, and validation where the task holds one out.
        steps: optimiser steps per epoch.
        path: the checkpoint file of the fold.
        manifest: of the run; checkpoints hold it.
        standardise: `Material.standardise` of the fold.
        texts: of the target, by path and name, as they now are; the checkpoint keeps them for a model.
        every_epoch: keep what each epoch of the last stage predicts, for a choice that is made afterwards.
        names: what an unlabelled item is called -> what messages to the user call it.
    """

    index: int
    builder: Builder
    streams: Mapping[str, StreamSet]
    train: Train
    steps: int
    selector: Selector
    path: Path
    views: ViewChains = field(default_factory=dict)
    listener: Listener = field(default_factory=Listener)
    names: Mapping[str, str] = field(default_factory=dict)
    manifest: Mapping[str, object] = field(default_factory=dict)
    standardise: Callable[[Method, bool], object] = lambda method, training: None
    texts: Callable[[], State] = dict
    every_epoch: bool = False
    _epochs: dict[str, Tensor] = field(default_factory=dict, init=False)

    def run(self, checkpoint: Checkpoint | None = None) -> FoldResult:
        """Train from the beginning, or from a checkpoint of this fold on, and predict the test stream."""
        if checkpoint is not None and checkpoint.position.finished:
            return FoldResult.of(checkpoint.under("result"), checkpoint.position, checkpoint.under("epochs"))
        position = Position(self.index) if checkpoint is None else checkpoint.position
        state = None if checkpoint is None else checkpoint.under("method")
        number = position.stage
        while True:
            method = self.builder.method()
            if state is not None:
                load_state(method, state)
            stages = list(method.stages())
            self._check_selector(stages[-1])
            position = self._stage(method, stages[number], number == len(stages) - 1, position, checkpoint)
            checkpoint = None
            number += 1
            if number == len(stages):
                break
            state = snapshot(method)
            position = replace(position, stage=number, epoch=0)
            del method, stages  # the next stage's instance has never seen this one's streams
        self.standardise(method, False)
        result = self._result(method, self._support(stages[-1]))
        self._save(replace(position, finished=True), {"method": snapshot(method), "result": result, "epochs": self._epochs})
        return FoldResult.of(result, position, self._epochs)

    def _result(self, method: Method, support: StreamSet | None) -> dict[str, Tensor]:
        result, device = self._scored(method, support), self.builder.device
        names = KEPT if "validation" in self.streams and self._sees_source(method.stages()[-1]) else {"target"}
        if "target" in self.streams:  # what settings may be chosen by, without a label of the target and without T_e
            result |= readings(method, self.streams, support, device, names)
        return result

    def _scored(self, method: Method, support: StreamSet | None) -> dict[str, Tensor]:
        """What is scored, now: of T_e, with the embeddings of S_l."""
        device = self.builder.device
        result = predict(method, self.streams["test"], support, device, pseudo=True)
        if support is not None:
            result["support"] = embeddings(method, support, device)
        return result

    def _support(self, stage: Stage) -> StreamSet | None:
        return self.streams["labelled"] if "labelled" in stage.sees else None

    def _sees_source(self, stage: Stage) -> bool:
        return not {"labelled", "source"}.isdisjoint(stage.sees)

    def _check_selector(self, last: Stage) -> None:
        """Refuse a selector that reads what there is not, or what the last stage may not see.

        Raises:
            SereError: C311.
        """
        if self.selector.keeps_last or last.solve is not None:
            return
        names, place = inspect.signature(self.selector.score).parameters, self.builder.resolved.place("select")
        for name in names:
            stream = name.partition("_")[0]
            if stream == "validation" and stream not in self.streams:
                what = f"the selector reads {name}, and no labelled utterances of the source are held out"
                raise error("C311", what, "set `task.validation`, to 5 of each class, say", place)
            if stream in ("source", "validation") and not self._sees_source(last):
                what = f"the selector reads {name}, and stage '{last.name}' may not see the source"
                raise error("C311", what, "use a selector that reads the target alone", place)

    def _runner(self, method: Method, stage: Stage) -> StageRunner:
        """The loop of a stage, with the streams that it may see and no others.

        Raises:
            SereError: C311 if one of them is empty.
        """
        visible: dict[str, StreamSet] = {name: self.streams[name] for name in sorted(stage.sees) if name in self.streams}
        if "target" in visible:  # which is predicted through others, and trains its own
            visible["target"] = replace(visible["target"], others=())
        missing = set(stage.sees) - set(visible) - stage.optional
        if missing:
            what = f"stage '{stage.name}' needs the stream {', '.join(sorted(missing))}, which is empty in fold {self.index + 1}"
            raise error("C311", what, hint="with `shots: all` there is no unlabelled source")
        if any(phase.views for phase in stage.phases) and not any(self.views.values()):
            what = f"stage '{stage.name}' compares two views of an utterance, and the config has no `views`: both are the utterance itself"
            warn("views", stage.name, what)
        device = self.builder.device
        return StageRunner(
            stage,
            method,
            BatchMaker(visible, self.train, self.builder.seed, device, self.views),
            VisibleData(visible, lambda: network(method.backbone), device, stage.optional),
            self.train,
            self.steps,
            step_end=lambda epoch, step, terms: self.listener.step_end(stage.name, epoch, step, terms),
            place=self.builder.resolved.place,
            names=self.names,
            standardise=self.standardise,
        )

    def _stage(self, method: Method, stage: Stage, last: bool, position: Position, resumed: Checkpoint | None) -> Position:
        runner = self._runner(method, stage)
        best: State = {}
        if resumed is not None:
            best, self._epochs = resumed.under("best"), resumed.under("epochs")
            for name, trained in runner.trained.items():
                restore_optimizer(name, trained.optimizer, resumed)
        self.listener.stage_start(stage.name, runner.epochs, 1 if stage.solve else self.steps, position.epoch)
        for report in runner.run(position.epoch):
            averaged = method.prediction_backbone() is not None
            if averaged:
                self.standardise(method, False)
            score = self._score(method, report.epoch) if last and stage.solve is None else None
            if score is not None and (position.best_score is None or score >= position.best_score):
                best = snapshot(method)
                position = replace(position, best_score=score, best_epoch=report.epoch)
            if self.every_epoch and last and stage.solve is None:
                result = self._scored(method, self._support(stage))
                self._epochs |= {f"{report.epoch}/{name}": value for name, value in result.items()}
            line = self.listener.epoch_end(stage.name, report, score)
            position = replace(position, epoch=report.epoch + 1, history=position.history + line)
            stop = self.listener.should_stop(stage.name, report.epoch)
            due = position.epoch % self.train.checkpoint_every == 0 and position.epoch < runner.epochs
            if stage.solve is None and due and stop is None:  # a run that is killed after a stop repeats the epoch, and stops again
                optimizers = {name: trained.optimizer for name, trained in runner.trained.items()}
                self._save(position, {"method": snapshot(method), "best": best, "epochs": self._epochs}, optimizers)
            if stop is not None:
                break
            if averaged:
                self.standardise(method, True)
        if best:
            load_state(method, best)
        return position

    def _score(self, method: Method, epoch: int) -> float | None:
        """The selector's score of the epoch, from what it names; None for a selector that always keeps the last epoch."""
        if self.selector.keeps_last:
            return None
        names = inspect.signature(self.selector.score).parameters
        support, device = self._support(method.stages()[-1]), self.builder.device
        given: dict[str, object] = {"epoch": epoch, **readings(method, self.streams, support, device, names)}
        if "mixture" in names:
            given["mixture"] = partial(predict_mixtures, method, self.streams["target"], support, device)
        found = self.selector.score(**{name: given[name] for name in names})
        try:
            score = float(found)
        except Exception:
            score = math.nan
        if not math.isfinite(score):
            place = self.builder.resolved.place("select")
            raise error("B403", f"the selector scores epoch {epoch} with {found!r:.80}, not with a finite number", "", place)
        return score

    def _save(self, position: Position, parts: Mapping[str, State], optimizers: Mapping[str, torch.optim.Optimizer] | None = None) -> None:
        tensors = {f"{prefix}/{name}": value for prefix, state in {**parts, "texts": self.texts()}.items() for name, value in state.items()}
        for name, optimizer in (optimizers or {}).items():
            tensors.update(optimizer_tensors(name, optimizer))
        Checkpoint(position, tensors, self.manifest).save(self.path)
        self.listener.checkpoint_saved(self.path)


def snapshot(method: Method) -> dict[str, Tensor]:
    """A copy of the method's state."""
    return {name: value.detach().clone() for name, value in cast(nn.Module, method).state_dict().items()}


def load_state(method: Method, state: State, hint: str = "start over with --fresh") -> None:
    """Put a state into a newly built method.

    Raises:
        SereError: T505 if it is not this method's.
    """
    try:
        cast(nn.Module, method).load_state_dict(dict(state))
    except RuntimeError as cause:
        what = f"these weights are not of this method: {str(cause).splitlines()[-1].strip()}"
        raise error("T505", what, hint) from cause
