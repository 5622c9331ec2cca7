"""One fold: a method's stages in order, checkpoints between epochs, the selected epoch, and the posteriors.

Between two stages the method's state is taken out, the instance is dropped, and a new one is built that is given only
the streams which the next stage declares: what a stage may not see does not exist while it runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sere_core.config.model import Train
from sere_core.train.assemble import Assembler
from sere_core.train.checkpoint import Checkpoint, Position, optimizer_tensors, restore_optimizer
from sere_core.train.coder import Coder, ViewChains
from sere_core.train.device import computes_in
from sere_core.train.stage import EpochReport, StageRunner
from sere_core.train.streams import StreamSet
from sere_core.train.whole import VisibleData, encode_whole, predict, prediction_backbone, pseudo_classes
from sere_registry import Stage, error


@dataclass(frozen=True)
class Listener:
    """Who is told of what happens in a fold; each may be replaced."""

    stage_start: Callable[[str, int, int, int], None] = lambda stage, epochs, steps, first: None
    step_end: Callable[[str, int, int, Mapping[str, float]], None] = lambda stage, epoch, step, losses: None
    epoch_end: Callable[[str, EpochReport, float | None], int] = lambda stage, report, score: 0
    checkpoint_saved: Callable[[Path], None] = lambda path: None
    should_stop: Callable[[str, int], str | None] = lambda stage, epoch: None


@dataclass(frozen=True)
class FoldResult:
    """What a trained fold says of its test utterances, and which epoch was kept.

    Args:
        posteriors: `[n, C]`.
        embeddings: `[n, D]`.
        kept_epoch: None where the last one is kept.
        pseudo: `[n]` long, the pseudo-classes of a method that makes some.
        support: `[n_l, D]`, the embeddings of S_l, for pictures; None where the last stage may not see it.
    """

    posteriors: Tensor
    embeddings: Tensor
    kept_epoch: int | None
    pseudo: Tensor | None = None
    support: Tensor | None = None


@dataclass
class FoldTrainer:
    """Trains and applies the method on one fold.

    Args:
        index: which fold.
        assembler: builds the method.
        streams: labelled, source, target and test.
        train: the config's section.
        steps: optimiser steps per epoch.
        selector: scores epochs without target labels.
        path: the checkpoint file of the fold.
        names: what an unlabelled item is called -> what messages to the user call it.
    """

    index: int
    assembler: Assembler
    streams: Mapping[str, StreamSet]
    train: Train
    steps: int
    selector: Any
    path: Path
    views: ViewChains = field(default_factory=ViewChains)
    listener: Listener = field(default_factory=Listener)
    names: Mapping[str, str] = field(default_factory=dict)

    def run(self, checkpoint: Checkpoint | None = None) -> FoldResult:
        """Train from the beginning, or from a checkpoint of this fold on, and predict the test stream."""
        if checkpoint is not None and checkpoint.position.finished:
            kept = checkpoint.under("result")
            return _result(kept, checkpoint.position)
        position = Position(self.index, 0, 0, 0) if checkpoint is None else checkpoint.position
        state = None if checkpoint is None else checkpoint.under("method")
        number = position.stage
        while True:
            method = self.assembler.method()
            if state is not None:
                load_state(method, state)
            stages = list(method.stages())
            position = self._stage(method, stages[number], number, number == len(stages) - 1, position, checkpoint)
            checkpoint = None
            number += 1
            if number == len(stages):
                break
            state = snapshot(method)
            position = replace(position, stage=number, epoch=0)
            del method, stages  # the next stage's instance has never seen this one's streams
        test, support, device = self.streams["test"], self._support(stages[-1]), self.assembler.device
        posteriors, embeddings = predict(method, test, support, device)
        result = {"posteriors": posteriors, "embeddings": embeddings}
        if "target" in self.streams:  # what settings may be chosen by, without a label and without T_e
            result["target"] = predict(method, self.streams["target"], support, device)[0]
        if support is not None:
            result["support"] = encode_whole(support, prediction_backbone(method), device).embedding.float().cpu()
            pseudo = pseudo_classes(method, test, support, device)
            result |= {} if pseudo is None else {"pseudo": pseudo}
        self._save(replace(position, finished=True), {"method": snapshot(method), "result": result})
        return _result(result, position)

    def _support(self, stage: Stage) -> StreamSet | None:
        return self.streams["labelled"] if "labelled" in stage.sees else None

    def _stage(self, method: Any, stage: Stage, number: int, last: bool, position: Position, resumed: Checkpoint | None) -> Position:
        visible: dict[str, StreamSet] = {name: self.streams[name] for name in sorted(stage.sees) if name in self.streams}
        sizes = {"labelled": self.train.batch.labelled, "source": self.train.batch.source, "target": self.train.batch.target}
        missing = set(stage.sees) - set(visible)
        if missing:
            raise error(
                "C311",
                f"stage '{stage.name}' needs the stream {', '.join(sorted(missing))}, which is empty in fold {self.index}",
                hint="with `shots: all` there is no unlabelled source",
            )
        device = self.assembler.device
        coder = Coder(visible, sizes, self.assembler.seed, device, self.views)
        data = VisibleData(visible, lambda: method.backbone, device)
        place = self.assembler.resolved.place
        runner = StageRunner(
            stage,
            method,
            coder,
            data,
            self.train,
            self.steps,
            self._autocast,
            lambda e, s, terms: self.listener.step_end(stage.name, e, s, terms),
            place,
            self.names,
        )
        if resumed is not None:
            for name, optimizer in runner.optimizers.items():
                restore_optimizer(name, optimizer, resumed)
        best = {} if resumed is None else resumed.under("best")
        self.listener.stage_start(stage.name, runner.epochs, 1 if stage.solve else self.steps, position.epoch)
        for report in self._epochs(runner, position.epoch):
            score = self._score(method, report.epoch) if last and stage.solve is None else None
            if score is not None and (position.best_score is None or score >= position.best_score):
                best = snapshot(method)
                position = replace(position, best_score=score, best_epoch=report.epoch)
            history = self.listener.epoch_end(stage.name, report, score)
            position = replace(position, epoch=report.epoch + 1, history=history)
            stop = self.listener.should_stop(stage.name, report.epoch)
            if stage.solve is None and (report.epoch + 1) % self.train.checkpoint_every == 0 and report.epoch + 1 < runner.epochs:
                tensors: dict[str, Mapping[str, Tensor]] = {"method": snapshot(method), "best": best}
                self._save(position, tensors, runner.optimizers)
            if stop is not None:
                break
        if best:
            load_state(method, best)
        return position

    def _epochs(self, runner: StageRunner, first: int) -> Iterator[EpochReport]:
        return runner.run(first)

    def _score(self, method: Any, epoch: int) -> float | None:
        """The selector's score of the epoch, from what it names; None for a selector that always keeps the last epoch."""
        if getattr(self.selector, "keeps_last", False):
            return None
        names = inspect.signature(self.selector.score).parameters
        given: dict[str, Any] = {"epoch": epoch}
        if "target" in names:
            given["target"] = predict(method, self.streams["target"], self._support(method.stages()[-1]), self.assembler.device)[0]
        if "embedding" in names:
            given["embedding"] = encode_whole(self.streams["target"], method.backbone, self.assembler.device).embedding
        return float(self.selector.score(**{name: given[name] for name in names}))

    def _autocast(self) -> AbstractContextManager[Any]:
        device = self.assembler.device
        if computes_in(self.train.precision, device) == "bfloat16":
            return torch.autocast(device.type, dtype=torch.bfloat16)
        return nullcontext()

    def _save(
        self, position: Position, parts: Mapping[str, Mapping[str, Tensor]], optimizers: Mapping[str, torch.optim.Optimizer] | None = None
    ) -> None:
        tensors = {f"{prefix}/{name}": value for prefix, state in parts.items() for name, value in state.items()}
        for name, optimizer in (optimizers or {}).items():
            tensors.update(optimizer_tensors(name, optimizer))
        Checkpoint(position, tensors).save(self.path)
        self.listener.checkpoint_saved(self.path)


def _result(kept: Mapping[str, Tensor], position: Position) -> FoldResult:
    return FoldResult(kept["posteriors"], kept["embeddings"], position.best_epoch, kept.get("pseudo"), kept.get("support"))


def snapshot(method: Any) -> dict[str, Tensor]:
    """A copy of the method's state."""
    return {name: value.detach().clone() for name, value in method.state_dict().items()}


def load_state(method: Any, state: Mapping[str, Tensor]) -> None:
    """Put a state into a newly built method.

    Raises:
        SereError: T505 if it is not this method's.
    """
    try:
        method.load_state_dict(dict(state))
    except RuntimeError as cause:
        raise error(
            "T505", f"the checkpoint is not of this method: {str(cause).splitlines()[-1].strip()}", hint="start over with --fresh"
        ) from cause
