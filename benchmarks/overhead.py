"""What the engine costs beside a bare loop of the same steps: `python benchmarks/overhead.py [--epochs 6] [--steps 20] [--rounds 5]`.

Both train SERE's default network on made-up frames of real shape, draw the same batches and predict the same test utterances.
The bare loop is what one would write in a notebook: draw, encode, losses, backward, Adam, and the loss kept as a number.  The
engine is a `FoldTrainer` under its guard: named generators, checks of every term, diagnostics, history and a checkpoint after
each epoch.  They take turns; processor time is compared, since a busy machine disturbs it less.  Target: at most 5 %.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from step import CLASSES, NAMES, SIZES, stream

from sere_core.config import load
from sere_core.score.records import RunFolder
from sere_core.train.build import Builder
from sere_core.train.fold import FoldTrainer, Listener
from sere_core.train.stage import EpochReport
from sere_core.train.streams import BatchMaker, StreamSet
from sere_core.train.whole import predict
from sere_registry import BuildContext

CPU = torch.device("cpu")
LIMIT = 0.05


def streams() -> dict[str, StreamSet]:
    """Real shapes; the test stream is as long as a fold's."""
    made = {name: stream(name, 10) for name in SIZES}
    target = made["target"]
    return {**made, "test": StreamSet("test", target.path, target.items[:80], target.rate)}


def builder(epochs: int) -> Builder:
    """Of the default config's network, with so many epochs."""
    resolved = load("configs/sere_default.yaml", sets=[f"train.epochs={epochs}"])
    return Builder(resolved, BuildContext(id="", classes=CLASSES, input_dim=len(NAMES)), 0, ("acoustic",), CPU)


def engine(made: dict[str, StreamSet], epochs: int, steps: int, folder: Path) -> None:
    """A fold as a run trains it."""
    parts = builder(epochs)
    resolved = parts.resolved
    with RunFolder(folder, "job").claim("fresh") as record:

        def epoch_end(stage: str, report: EpochReport, score: float | None) -> int:
            return record.append_history({"epoch": report.epoch, "losses": report.losses, "diagnostics": report.diagnostics})

        selector = resolved.components["select"].build(BuildContext(id="select", classes=CLASSES))
        listener, path = Listener(epoch_end=epoch_end), record.checkpoint(0)
        trainer = FoldTrainer(0, parts, made, resolved.config.train, steps, selector, path, listener=listener)
        trainer.run()


def bare(made: dict[str, StreamSet], epochs: int, steps: int) -> None:
    """The same steps without an engine."""
    parts = builder(epochs)
    method = parts.method()
    network, field, losses = method.backbone, method.field, method.losses
    visible = {name: made[name] for name in ("labelled", "source", "target")}
    draws = BatchMaker(visible, parts.resolved.config.train, parts.seed, CPU)
    optimizer = torch.optim.Adam([each for each in method.parameters() if each.requires_grad], lr=1e-3, fused=True)
    history = []
    method.train()
    for step in range(epochs * steps):
        raws = draws.draw(frozenset(visible), step)
        labelled, source, target = (network.encode(raws[name]) for name in visible)
        terms = {**losses["classify"](labelled), **losses["adapt"](labelled, source, target, field)}
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    predict(method, made["test"], None, CPU)


def cpu(work: Callable[[], None]) -> float:
    """Seconds of this process's processor time."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--steps", type=int, default=20, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    made = streams()
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds + 1):
            one = cpu(lambda: engine(made, options.epochs, options.steps, Path(folder)))
            other = cpu(lambda: bare(made, options.epochs, options.steps))
            if number:  # the first round warms up
                pairs.append((one, other))
    whole, loop = (statistics.median(column) for column in zip(*pairs, strict=True))
    share = statistics.median(one / other for one, other in pairs) - 1
    count = options.epochs * options.steps
    print(f"{count} steps: engine {whole:.2f} s, bare loop {loop:.2f} s ({1e3 * loop / count:.1f} ms a step)")
    print(f"overhead: {100 * share:.1f} % (target: at most {100 * LIMIT:.0f} %)")
    return 0 if share <= LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
