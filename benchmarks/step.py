"""Where the time of a SERE training step goes: its parts, the engine beside a hand-written loop, and the code it touches.

    python benchmarks/step.py [--steps 40] [--rate 10] [--trace]

Made-up frames of the shapes of `configs/real`: 30 labelled utterances, 16 of the source, 16 of the target, the width of the
`acoustic` encoder, 1.5 to 6 seconds each; processor time of one thread.  Shares of parts are exclusive, so that what the
field does inside a loss is the field's.  A fold of the engine (checks of every term, history, a checkpoint after each epoch)
may cost 5 % more than the same steps in a bare loop; else the exit code is 1.  `--trace` instead says how many files,
functions and calls of this project one step touches.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, cast

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.ratios import PartClock, Ratio
from sere_core.config import load
from sere_core.score.records import RunFolder, json_line
from sere_core.train.build import Builder
from sere_core.train.fold import FoldTrainer, Listener
from sere_core.train.network import network
from sere_core.train.stage import EpochReport, StageRunner
from sere_core.train.streams import BatchMaker, Item, StreamSet
from sere_core.train.whole import VisibleData, predict
from sere_plugins.encoders.acoustic import NAMES
from sere_registry import BuildContext

ROOT = Path(__file__).parents[1]
OURS = tuple(str(ROOT / name) for name in ("sere_core", "plugins", "registry"))
CPU = torch.device("cpu")
CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
SIZES = {"labelled": 30, "source": 400, "target": 300}
CONTOURS, OVERHEAD = 4, 0.05


def stream(name: str, rate: int) -> StreamSet:
    generator, items = torch.Generator().manual_seed(len(name)), []
    for number in range(SIZES[name]):
        length = int(rate * 1.5 * 4 ** torch.rand((), generator=generator))
        values = torch.randn(length, len(NAMES), generator=generator)
        contours, domain = torch.randn(length, CONTOURS, generator=generator), int(name == "target")
        items.append(Item(f"{name}{number}", values, contours, values.mean(dim=0), domain=domain))
    labels = torch.arange(SIZES[name]) % len(CLASSES) if name == "labelled" else None
    return StreamSet(name, "acoustic", tuple(items), float(rate), labels)


def builder(*sets: str) -> Builder:
    """Of the default config's method."""
    resolved = load(str(ROOT / "configs" / "sere_default.yaml"), sets=list(sets))
    return Builder(resolved, BuildContext(id="", classes=CLASSES, input_dim=len(NAMES)), 0, ("acoustic",), CPU)


def steps(rate: int) -> tuple[StageRunner, Callable[[int], object]]:
    """The one stage of the default config, and what makes a step of it; the first steps are done."""
    parts = builder()
    method, train = parts.method(), parts.resolved.config.train
    stage = method.stages()[0]
    streams = {name: stream(name, rate) for name in sorted(stage.sees)}
    data = VisibleData(streams, lambda: network(method.backbone), CPU)
    run = StageRunner(stage, method, BatchMaker(streams, train, 0, CPU), data, train, 10**6)
    cast(Any, method).train()

    def step(number: int) -> None:
        run._step(run._progress(number, 0))

    for number in range(3):
        step(number)
    return run, step


def cpu(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def show_parts(rate: int, count: int) -> None:
    """Print a step's parts."""
    run, step = steps(rate)
    plain = statistics.median(cpu(lambda: step(3)) for _ in range(count))
    clock = PartClock("between steps")
    clock.watch(run, "_step", "what is left")
    clock.watch(run.batches, "draw", "draw and pad")
    clock.watch(run.batches, "encode", "encode (forward)")
    clock.watch(torch.Tensor, "backward", "backward")
    clock.watch(run.method.field, "similarity", "field: similarity")
    clock.watch(run.method.field, "aligned", "field: aligned")
    for loss in cast(Any, run.method).losses.values():
        clock.watch(loss, "forward", "losses (forward)")
    for trained in run.trained.values():
        clock.watch(trained.optimizer, "step", "optimizer")
    for number in range(count):
        step(number)
    print(f"{rate} frames a second: {1e3 * plain:.2f} ms a step")
    clock.charge()
    for part, each in sorted(clock.seconds.items(), key=lambda entry: -entry[1]):
        print(f"    {part:22} {100 * each / sum(clock.seconds.values()):7.1f} %")


def engine(parts: Builder, made: dict[str, StreamSet], count: int, folder: Path) -> None:
    """A fold as a run trains it."""
    with RunFolder(folder, "job").claim("fresh") as record:
        selector = parts.resolved.components["select"].build(BuildContext(id="select", classes=CLASSES))

        def epoch_end(stage: str, report: EpochReport, score: float | None) -> str:
            line = json_line(vars(report))
            record.append_history(line)
            return line

        train, path = parts.resolved.config.train, record.checkpoint(0)
        FoldTrainer(0, parts, made, train, count, selector, path, listener=Listener(epoch_end=epoch_end)).run()


def bare(parts: Builder, made: dict[str, StreamSet], count: int) -> None:
    """The same steps without an engine: draw, encode, losses, backward, Adam, and the loss kept as a number."""
    method: Any = parts.method()
    train, visible = parts.resolved.config.train, {name: made[name] for name in SIZES}
    draws = BatchMaker(visible, train, parts.seed, CPU)
    trained = [each for each in method.parameters() if each.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=1e-3, fused=True)
    method.train()
    history = []
    for number in range(train.epochs * count):
        raws = draws.draw(frozenset(visible), number)
        batches = {name: method.backbone.encode(raws[name]) for name in visible}
        support = {"support": batches.pop("labelled"), "field": method.field}
        terms = {**method.losses["classify"](support["support"]), **method.losses["adapt"](**batches, **support)}
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    predict(method, made["test"], None, CPU)


def turns(rate: int, count: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of the engine and of a bare loop in turn; a first round warms up."""
    made = {name: stream(name, rate) for name in SIZES}
    made["test"] = StreamSet("test", "acoustic", made["target"].items[:80], float(rate))
    parts = builder("train.epochs=6")
    found: dict[str, list[float]] = {"engine": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds + 1):
            found["engine"].append(cpu(lambda: engine(parts, made, count, Path(folder))))
            found["bare"].append(cpu(lambda: bare(parts, made, count)))
    return {name: each[1:] for name, each in found.items()}


def ratios(short: bool) -> list[Ratio]:
    torch.set_num_threads(1)
    seconds = {name: statistics.median(each) for name, each in turns(10, 10 if short else 40, 2 if short else 5).items()}
    return [Ratio("fold as the engine trains it", seconds["engine"], "the same steps in a bare loop", seconds["bare"])]


def show_overhead(rate: int, count: int) -> bool:
    """Print what the engine adds to a bare loop; is it little enough?"""
    found = turns(rate, count, 5)
    share = statistics.median(ours / bare for ours, bare in zip(*found.values(), strict=True)) - 1
    print(f"the engine beside a bare loop: {100 * share:+.1f} % (at most {100 * OVERHEAD:.0f} %)")
    return share <= OVERHEAD


def show_trace(rate: int) -> None:
    """Print which files and how many functions and calls of this project one step of the default config touches."""
    _, step = steps(rate)
    calls: Counter[tuple[str, str, int]] = Counter()

    def seen(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(OURS):
            calls[code.co_filename, code.co_qualname, code.co_firstlineno] += 1

    sys.setprofile(seen)
    try:
        step(3)
    finally:
        sys.setprofile(None)
    files: dict[str, list[int]] = defaultdict(list)
    for (path, _, _), count in calls.items():
        files[path].append(count)
    print(f"one step: {len(files)} files, {len(calls)} functions, {sum(calls.values())} calls")
    for path, counts in sorted(files.items(), key=lambda entry: -sum(entry[1])):
        print(f"    {sum(counts):5} calls of {len(counts):3} functions  {Path(path).relative_to(ROOT)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rate", type=int, default=10, help="frames a second")
    parser.add_argument("--trace", action="store_true", help="print the code that one step touches instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.trace:
        show_trace(options.rate)
        return 0
    show_parts(options.rate, options.steps)
    return 0 if show_overhead(options.rate, options.steps) else 1


if __name__ == "__main__":
    raise SystemExit(main())
