"""Where the time of a whole SERE training step goes, and what it would take if there were nothing but its matrix products.

    python benchmarks/step.py [--steps 40] [--rates 10 25] [--threads 1] [--profile]

The engine's own step (draw, encode, losses, backward, Adam) on made-up frames of the shapes of `configs/real`: 30 labelled
utterances, 16 of the source, 16 of the target, the width of the `acoustic` encoder, 1.5 to 6 seconds each.  Shares are exclusive: what
the field does inside a loss is the field's.  Times are the process's CPU time, so that a busy machine disturbs them less; with
one thread that is the time of the step in a quiet moment.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from sere_core.config import load
from sere_core.train.build import Builder
from sere_core.train.network import network
from sere_core.train.stage import StageRunner
from sere_core.train.streams import BatchMaker, Item, StreamSet
from sere_core.train.whole import VisibleData
from sere_plugins.encoders.acoustic import NAMES
from sere_registry import BuildContext

CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
SIZES = {"labelled": 30, "source": 400, "target": 300}
SECONDS = (1.5, 6.0)
CONTOURS = 4


def stream(name: str, rate: int) -> StreamSet:
    """Utterances whose lengths spread evenly on a logarithmic scale."""
    generator = torch.Generator().manual_seed(len(name))
    low, high = (torch.tensor(seconds).log() for seconds in SECONDS)
    items = []
    for number in range(SIZES[name]):
        length = int((low + (high - low) * torch.rand((), generator=generator)).exp() * rate)
        values = torch.randn(length, len(NAMES), generator=generator)
        contours = torch.randn(length, CONTOURS, generator=generator)
        items.append(Item(f"{name}{number}", values, contours, values.mean(dim=0)))
    labels = torch.arange(SIZES[name]) % len(CLASSES) if name == "labelled" else None
    return StreamSet(name, "acoustic", tuple(items), float(rate), labels, int(name == "target"))


@dataclass
class Clock:
    """Exclusive CPU seconds by part: a part's time stands still while a part within it runs."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _open: list[str] = field(default_factory=list)
    _since: float = 0.0

    def _charge(self) -> None:
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def wrap(self, owner: Any, method: str, part: str) -> None:
        """Time is the part's while `owner.method` runs."""
        inner = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._charge()
            self._open.append(part)
            try:
                return inner(*args, **kwargs)
            finally:
                self._charge()
                self._open.pop()

        setattr(owner, method, timed)


def runner(rate: int, losses: tuple[str, ...]) -> StageRunner:
    """The one stage of the default config's method with these of its losses."""
    unused = [f"losses.{name}=null" for name in ("classify", "adapt") if name not in losses]
    resolved = load("configs/sere_default.yaml", sets=unused)
    device = torch.device("cpu")
    method = Builder(resolved, BuildContext(id="", classes=CLASSES, input_dim=len(NAMES)), 0, ("acoustic",), device).method()
    stage = method.stages()[0]
    train = resolved.config.train
    streams = {name: stream(name, rate) for name in sorted(stage.sees)}
    data = VisibleData(streams, lambda: network(method.backbone), device)
    made = StageRunner(stage, method, BatchMaker(streams, train, 0, device), data, train, 10**6)
    method.train()
    return made


def watch(run: StageRunner) -> Clock:
    """The parts of the step, each under its clock."""
    clock = Clock()
    clock.wrap(run, "_step", "what is left")
    clock.wrap(run.batches, "draw", "draw and pad")
    clock.wrap(run.batches, "encode", "encode (forward)")
    for loss in run.method.losses.values():
        clock.wrap(loss, "forward", "losses (forward)")
    for name in ("similarity", "aligned", "exchange"):
        if hasattr(run.method.field, name):
            clock.wrap(run.method.field, name, f"field: {name}")
    for optimizer in run.trained.values():
        clock.wrap(optimizer.optimizer, "step", "optimizer")
    clock.wrap(torch.Tensor, "backward", "backward")
    return clock


def products(run: StageRunner) -> Callable[[], None]:
    """The matrix products that a step cannot do without: projections forward and backward, and every search of TRIC, on real frames."""
    frames = {name: int(run.batches.draw(frozenset({name}), 0)[name].inputs.frames.mask.sum()) for name in run.batches.streams}
    width = run.method.backbone.projections["acoustic"].linear.out_features
    inputs = {name: torch.randn(count, len(NAMES)) for name, count in frames.items()}
    outputs = {name: torch.randn(count, width + CONTOURS) for name, count in frames.items()}
    weight = torch.randn(len(NAMES), width)

    def multiply() -> None:
        for name, values in inputs.items():
            values @ weight
            values.T @ outputs[name][:, :width]
        for a, b in (("source", "labelled"), ("target", "source"), ("target", "labelled")):
            if {a, b} <= set(outputs):
                outputs[a] @ outputs[b].T

    return multiply


def cpu(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def measure(rate: int, steps: int) -> None:
    runs = {"sere": runner(rate, ("classify", "adapt")), "source-only": runner(rate, ("classify",))}
    multiply = products(runs["sere"])
    plain: dict[str, list[float]] = defaultdict(list)
    for step in range(steps + 3):
        for name, run in runs.items():
            took = cpu(partial(run._step, run._progress(step, 0)))
            if step >= 3:
                plain[name].append(took)
        plain["products"].append(cpu(multiply))
    middle = {name: statistics.median(values) * 1e3 for name, values in plain.items()}
    backward = torch.Tensor.backward
    clock = watch(runs["sere"])
    for step in range(steps + 3, 2 * steps + 3):
        runs["sere"]._step(runs["sere"]._progress(step, 0))
    setattr(torch.Tensor, "backward", backward)  # noqa: B010  (mypy knows that methods are not assigned)
    whole = sum(clock.seconds.values())
    frames = {name: run.batches.draw(frozenset({"target"}), 0) for name, run in runs.items() if "target" in run.batches.streams}
    longest = frames["sere"]["target"].inputs.frames.values.shape[1]
    print(f"{rate} frames a second (the longest of the first target batch: {longest} frames)")
    print(f"    a step                   {middle['sere']:7.2f} ms, {1e3 / middle['sere']:.0f} a second")
    print(f"    / source-only            {middle['sere'] / middle['source-only']:7.2f}    ({middle['source-only']:.2f} ms)")
    print(f"    / its matrix products    {middle['sere'] / middle['products']:7.2f}    ({middle['products']:.2f} ms)")
    for part, seconds in sorted(clock.seconds.items(), key=lambda entry: -entry[1]):
        print(f"    {part:22} {100 * seconds / whole:7.1f} %  {1e3 * seconds / steps:7.2f} ms")


def profile(rate: int, steps: int) -> None:
    """torch's own table of the operations that take longest."""
    run = runner(rate, ("classify", "adapt"))
    for step in range(3):
        run._step(run._progress(step, 0))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        for step in range(3, steps + 3):
            run._step(run._progress(step, 0))
    print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=30, max_name_column_width=60))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rates", type=int, nargs="+", default=[10, 25])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--profile", action="store_true", help="print the operations that take longest instead")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for rate in options.rates:
        (profile if options.profile else measure)(rate, options.steps)


if __name__ == "__main__":
    main()
