"""What ten hooks that do nothing cost, as a share of a step of SERE, both measured in one run.

    python benchmarks/hooks.py [--steps 60] [--hooks 10] [--utterances 25] [--frames 60]

A step is the engine's own: cross-entropy and TRIC over the IRF field on the toy encoder's frames, batches of 16, forward, backward
and Adam.  It is far smaller than a step on speech, so the share is an upper bound.  Per step the bus is called once
(`sere_step_end`); stage, epoch and checkpoint hooks are too rare to matter.  Times are medians over rounds in which the two take turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sere_core.config.model import Train
from sere_core.hookbus import HookBus
from sere_core.train.network import Backbone, Projection
from sere_core.train.stage import StageRunner
from sere_core.train.streams import BatchMaker, Item, StreamSet
from sere_core.train.whole import VisibleData
from sere_plugins.specs import dynamics, losses, methods, resonance
from sere_registry import BuildContext, Frames, Loss, Method, MethodContext, ResonanceField, WeightedLoss
from sere_registry.hookspecs import RunInfo, hookimpl
from sere_registry.protocols import completed

CLASSES = ("anger", "fear", "happiness", "neutral", "sadness")
WIDTH = 32


class Idle:
    """Listens to every step and does nothing."""

    @hookimpl
    def sere_step_end(self, run: RunInfo, fold: int, stage: str, epoch: int, step: int, losses: Mapping[str, float]) -> None: ...


class Plain(nn.Module):
    """An encoder without a trained part."""

    input_dim = dim = WIDTH

    def forward(self, frames: Frames) -> Frames:
        return frames


def stream(name: str, size: int, frames: int, static: int, labelled: bool) -> StreamSet:
    """Utterances of `frames` frames, give or take a fifth."""
    generator = torch.Generator().manual_seed(len(name))
    items = []
    for number in range(size):
        length = int(torch.randint(frames * 4 // 5, frames * 6 // 5 + 1, (1,), generator=generator))
        values = torch.randn(length, WIDTH, generator=generator)
        contours = torch.randn(length, static, generator=generator).abs()
        items.append(Item(f"{name}/{number}", values, contours, values.mean(dim=0)))
    labels = torch.arange(size) % len(CLASSES) if labelled else None
    return StreamSet(name, "plain", tuple(items), 50.0, labels)


def runner(utterances: int, frames: int) -> StageRunner:
    """The engine's loop over SERE on random frames."""
    torch.manual_seed(0)
    base = BuildContext("bench", classes=CLASSES, dim=WIDTH, input_dim=WIDTH)
    idfe = dynamics.IDFE.load()(dynamics.IDFE.params(), base)
    context = BuildContext("bench", classes=CLASSES, dim=WIDTH, dynamics_dim=idfe.dim, input_dim=WIDTH)
    backbone = Backbone({"plain": Plain()}, {"plain": Projection(WIDTH, WIDTH, 0.0)}, idfe, nn.Linear(context.embedding_dim, len(CLASSES)))
    field = resonance.IRF.load()(resonance.IRF.params(), context)
    parts = {name: spec.load()(spec.params(), context) for name, spec in {"classify": losses.CROSS_ENTROPY, "adapt": losses.TRIC}.items()}
    weighted = {name: WeightedLoss(completed(part, Loss), 1.0, 1.0) for name, part in parts.items()}
    full = MethodContext(**{**vars(context), "backbone": backbone}, field=completed(field, ResonanceField), losses=weighted)
    method = completed(methods.JOINT.load()(methods.JOINT.params(), full), Method)
    (stage,) = method.stages()
    streams = {name: stream(name, utterances, frames, idfe.static_dim, name == "labelled") for name in sorted(stage.sees)}
    train, device = Train(epochs=10**6), torch.device("cpu")
    data = VisibleData(streams, lambda: backbone, device)
    return StageRunner(stage, method, BatchMaker(streams, train, 0, device), data, train, 1)


def seconds(work: Callable[[], Any], repeats: int) -> float:
    """Of one call, on average."""
    begin = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - begin) / repeats


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--hooks", type=int, default=10)
    parser.add_argument("--utterances", type=int, default=25, help="of each stream")
    parser.add_argument("--frames", type=int, default=60, help="of an utterance")
    given = parser.parse_args()
    torch.set_num_threads(1)
    epochs = runner(given.utterances, given.frames).run(0)
    bus = HookBus({f"idle{number}": Idle() for number in range(given.hooks)})
    info = RunInfo("bench", "0", Path(), 1, CLASSES, False)
    terms = {f"adapt.{number}": 1.0 for number in range(4)}

    def told() -> None:
        bus.call("sere_step_end", run=info, fold=0, stage="joint", epoch=0, step=0, losses=terms)

    def step() -> None:
        next(epochs)  # an epoch of one step

    step()
    told()
    rounds = 6
    pairs = [(seconds(step, max(given.steps // rounds, 1)), seconds(told, 2000)) for _ in range(rounds)]
    one, call = (statistics.median(column) for column in zip(*pairs, strict=True))
    share = call / one
    print(f"a step: {1e3 * one:.2f} ms; {given.hooks} hooks: {1e6 * call:.1f} us, {1e6 * call / given.hooks:.2f} us each")
    print(f"share of a step: {100 * share:.3f} % (target: under 1 %)")
    return 0 if share < 0.01 else 1


if __name__ == "__main__":
    raise SystemExit(main())
