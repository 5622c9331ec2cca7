"""Where the time of a SERE training step goes: its parts, the engine beside a hand-written loop, hooks, and the code it touches.

    python benchmarks/step.py [--steps 40] [--rates 10 25] [--threads 1] [--profile | --trace]

Made-up frames of the shapes of `configs/real`: 30 labelled utterances, 16 of the source, 16 of the target, the width of the
`acoustic` encoder, 1.5 to 6 seconds each.  Four tables:

* parts: shares are exclusive, so that what the field does inside a loss is the field's;
* the engine: a `FoldTrainer` (named generators, checks of every term, history, a checkpoint after each epoch) beside the same
  steps in a bare loop, as one would write it in a notebook.  Target: at most 5 % more;
* hooks: what ten that do nothing cost of a step.  Target: under 1 %;
* `--trace`: how many files, functions and calls of this project one step of the default config touches.

Times are the process's CPU time, so that a busy machine disturbs them less.  Exit code 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

import torch

from sere_core.config import load
from sere_core.hookbus import HookBus
from sere_core.score.records import RunFolder
from sere_core.train.build import Builder
from sere_core.train.fold import FoldTrainer, Listener
from sere_core.train.network import network
from sere_core.train.stage import EpochReport, StageRunner
from sere_core.train.streams import BatchMaker, Item, StreamSet
from sere_core.train.whole import VisibleData, predict
from sere_plugins.encoders.acoustic import NAMES
from sere_registry import BuildContext
from sere_registry.hookspecs import RunInfo, hookimpl

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
SIZES = {"labelled": 30, "source": 400, "target": 300}
SECONDS = (1.5, 6.0)
CONTOURS = 4
OVERHEAD, HOOKS = 0.05, 0.01


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


def builder(*sets: str) -> Builder:
    """Of the default config's method."""
    resolved = load(str(ROOT / "configs" / "sere_default.yaml"), sets=list(sets))
    return Builder(resolved, BuildContext(id="", classes=CLASSES, input_dim=len(NAMES)), 0, ("acoustic",), CPU)


def runner(rate: int, *unused: str) -> StageRunner:
    """The one stage of the default config without these of its losses."""
    parts = builder(*(f"losses.{name}=null" for name in unused))
    method, train = parts.method(), parts.resolved.config.train
    stage = method.stages()[0]
    streams = {name: stream(name, rate) for name in sorted(stage.sees)}
    data = VisibleData(streams, lambda: network(method.backbone), CPU)
    made = StageRunner(stage, method, BatchMaker(streams, train, 0, CPU), data, train, 10**6)
    method.train()  # type: ignore[attr-defined]
    return made


def step(run: StageRunner, number: int) -> None:
    run._step(run._progress(number, 0))


def cpu(work: Callable[[], object]) -> float:
    """Seconds of this process's processor time."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


# -- parts --------------------------------------------------------------------------------------------------------------


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

    def wrap(self, owner: object, method: str, part: str) -> None:
        """Time is the part's while `owner.method` runs."""
        inner = getattr(owner, method)

        def timed(*args: object, **kwargs: object) -> object:
            self._charge()
            self._open.append(part)
            try:
                return inner(*args, **kwargs)
            finally:
                self._charge()
                self._open.pop()

        setattr(owner, method, timed)


def watch(run: StageRunner) -> Clock:
    """The parts of the step, each under its clock."""
    clock = Clock()
    clock.wrap(run, "_step", "what is left")
    clock.wrap(run.batches, "draw", "draw and pad")
    clock.wrap(run.batches, "encode", "encode (forward)")
    for loss in run.method.losses.values():  # type: ignore[attr-defined]
        clock.wrap(loss, "forward", "losses (forward)")
    for name in ("similarity", "aligned"):
        clock.wrap(run.method.field, name, f"field: {name}")
    for trained in run.trained.values():
        clock.wrap(trained.optimizer, "step", "optimizer")
    clock.wrap(torch.Tensor, "backward", "backward")
    return clock


def products(run: StageRunner) -> Callable[[], None]:
    """The matrix products that a step cannot do without: projections forward and backward, and every search of TRIC, on real frames."""
    frames = {name: int(run.batches.draw(frozenset({name}), 0)[name].inputs.frames.mask.sum()) for name in run.batches.streams}
    width = network(run.method.backbone).projections["acoustic"].linear.out_features
    inputs = {name: torch.randn(count, len(NAMES)) for name, count in frames.items()}
    outputs = {name: torch.randn(count, width + CONTOURS) for name, count in frames.items()}
    weight = torch.randn(len(NAMES), width)

    def multiply() -> None:
        for name, values in inputs.items():
            values @ weight
            values.T @ outputs[name][:, :width]
        for a, b in (("source", "labelled"), ("target", "source"), ("target", "labelled")):
            outputs[a] @ outputs[b].T

    return multiply


def show_parts(rate: int, steps: int) -> float:
    """Print the table of a step's parts; the milliseconds of a step."""
    runs = {"sere": runner(rate), "source-only": runner(rate, "adapt")}
    multiply = products(runs["sere"])
    work = {name: partial(step, run) for name, run in runs.items()} | {"products": lambda number: multiply()}
    times: dict[str, list[float]] = defaultdict(list)
    for number in range(steps + 3):
        for name, one in work.items():
            took = cpu(partial(one, number))
            times[name] += [took] if number >= 3 else []
    middle = {name: statistics.median(values) * 1e3 for name, values in times.items()}
    backward = torch.Tensor.backward
    clock = watch(runs["sere"])
    for number in range(steps + 3, 2 * steps + 3):
        step(runs["sere"], number)
    setattr(torch.Tensor, "backward", backward)  # noqa: B010  (mypy knows that methods are not assigned)
    whole = sum(clock.seconds.values())
    print(f"{rate} frames a second")
    print(f"    a step                   {middle['sere']:7.2f} ms, {1e3 / middle['sere']:.0f} a second")
    print(f"    / source-only            {middle['sere'] / middle['source-only']:7.2f}    ({middle['source-only']:.2f} ms)")
    print(f"    / its matrix products    {middle['sere'] / middle['products']:7.2f}    ({middle['products']:.2f} ms)")
    for part, seconds in sorted(clock.seconds.items(), key=lambda entry: -entry[1]):
        print(f"    {part:22} {100 * seconds / whole:7.1f} %  {1e3 * seconds / steps:7.2f} ms")
    return middle["sere"]


# -- the engine beside a bare loop --------------------------------------------------------------------------------------


def engine(parts: Builder, made: dict[str, StreamSet], steps: int, folder: Path) -> None:
    """A fold as a run trains it."""
    resolved = parts.resolved
    with RunFolder(folder, "job").claim("fresh") as record:

        def epoch_end(stage: str, report: EpochReport, score: float | None) -> int:
            return record.append_history({"epoch": report.epoch, "losses": report.losses, "diagnostics": report.diagnostics})

        selector = resolved.components["select"].build(BuildContext(id="select", classes=CLASSES))
        listener, path = Listener(epoch_end=epoch_end), record.checkpoint(0)
        FoldTrainer(0, parts, made, resolved.config.train, steps, selector, path, listener=listener).run()


def bare(parts: Builder, made: dict[str, StreamSet], steps: int) -> None:
    """The same steps without an engine: draw, encode, losses, backward, Adam, and the loss kept as a number."""
    method, train = parts.method(), parts.resolved.config.train
    backbone, resonance, losses = network(method.backbone), method.field, method.losses  # type: ignore[attr-defined]
    visible = {name: made[name] for name in SIZES}
    draws = BatchMaker(visible, train, parts.seed, CPU)
    optimizer = torch.optim.Adam([each for each in method.parameters() if each.requires_grad], lr=1e-3, fused=True)  # type: ignore[attr-defined]
    history = []
    method.train()  # type: ignore[attr-defined]
    for number in range(train.epochs * steps):
        raws = draws.draw(frozenset(visible), number)
        labelled, source, target = (backbone.encode(raws[name]) for name in visible)
        terms = {**losses["classify"](labelled), **losses["adapt"](labelled, source, target, resonance)}
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    predict(method, made["test"], None, CPU)


def show_overhead(rate: int, steps: int, epochs: int = 6, rounds: int = 5) -> bool:
    """Print what the engine adds to a bare loop; is it little enough?"""
    made = {name: stream(name, rate) for name in SIZES}
    made["test"] = StreamSet("test", "acoustic", made["target"].items[:80], made["target"].rate)
    parts = builder(f"train.epochs={epochs}")
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            pair = cpu(lambda: engine(parts, made, steps, Path(folder))), cpu(lambda: bare(parts, made, steps))
            pairs += [pair] if number else []  # the first round warms up
    share = statistics.median(one / other for one, other in pairs) - 1
    each = [1e3 * statistics.median(column) / (epochs * steps) for column in zip(*pairs, strict=True)]
    times = f"the engine {each[0]:.2f} ms a step, a bare loop {each[1]:.2f} ms"
    print(f"    {times}: {100 * share:+.1f} % (target: at most {100 * OVERHEAD:.0f} %)")
    return share <= OVERHEAD


# -- hooks --------------------------------------------------------------------------------------------------------------


class Idle:
    """Listens to every step and does nothing."""

    @hookimpl
    def sere_step_end(self, run: RunInfo, fold: int, stage: str, epoch: int, step: int, losses: dict[str, float]) -> None: ...


def show_hooks(milliseconds: float, hooks: int = 10, calls: int = 4000) -> bool:
    """Print what idle hooks cost of a step, in which the bus is called once; is it little enough?"""
    bus = HookBus({f"idle{number}": Idle() for number in range(hooks)})
    info, terms = RunInfo("bench", "0", Path(), 1, CLASSES, False), {f"adapt.{number}": 1.0 for number in range(4)}

    def work() -> None:
        for _ in range(calls):
            bus.call("sere_step_end", run=info, fold=0, stage="joint", epoch=0, step=0, losses=terms)

    work()
    call = statistics.median(cpu(work) for _ in range(5)) / calls
    share = 1e3 * call / milliseconds
    print(f"    {hooks} idle hooks {1e6 * call:.1f} us a step: {100 * share:.3f} % (target: under {100 * HOOKS:.0f} %)")
    return share < HOOKS


# -- the code that a step touches ---------------------------------------------------------------------------------------


def show_trace(rate: int) -> None:
    """Print which files and how many functions and calls of this project one step of the default config touches."""
    run = runner(rate)
    for number in range(3):  # what is made once is made
        step(run, number)
    calls: Counter[tuple[str, str, int]] = Counter()

    def seen(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(OURS):
            calls[code.co_filename, code.co_qualname, code.co_firstlineno] += 1

    sys.setprofile(seen)
    try:
        step(run, 3)
    finally:
        sys.setprofile(None)
    files: dict[str, list[int]] = defaultdict(list)
    for (path, _, _), count in calls.items():
        files[path].append(count)
    print(f"one step: {len(files)} files, {len(calls)} functions, {sum(calls.values())} calls")
    for path, counts in sorted(files.items(), key=lambda entry: -sum(entry[1])):
        print(f"    {sum(counts):5} calls of {len(counts):3} functions  {Path(path).relative_to(ROOT)}")


OURS = tuple(str(ROOT / name) for name in ("sere_core", "plugins", "registry"))


def show_profile(rate: int, steps: int) -> None:
    """Print torch's own table of the operations that take longest."""
    run = runner(rate)
    for number in range(3):
        step(run, number)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        for number in range(3, steps + 3):
            step(run, number)
    print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=30, max_name_column_width=60))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rates", type=int, nargs="+", default=[10, 25])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--profile", action="store_true", help="print the operations that take longest instead")
    parser.add_argument("--trace", action="store_true", help="print the code that one step touches instead")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    good = True
    for rate in options.rates:
        if options.trace:
            show_trace(rate)
        elif options.profile:
            show_profile(rate, options.steps)
        else:
            milliseconds = show_parts(rate, options.steps)
            good &= all([show_overhead(rate, options.steps), show_hooks(milliseconds)])
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
