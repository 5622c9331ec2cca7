"""What the engine adds to a step of DAN and of DANN: its steps beside those of a plain loop, written by hand.

    python benchmarks/joint_step.py [--steps 40] [--rounds 7] [--rate 10]

Both get the same draws of the made-up streams of `step.py`, the same network from the same first weights, cross-entropy and the
same loss on the same embeddings, and Adam; that their losses agree step by step is checked.  The plain loop has the
losses' formulas written out, one optimizer, and no checks.  Steps take turns, processor time of one thread; a round's ratio is
the median over its steps, each against the one beside it.  A median ratio above 1.05 ends with exit code 1.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from step import CPU, SIZES, builder, cpu, stream
from torch import Tensor, nn
from torch.nn import functional

from sere_core.train.network import network
from sere_core.train.stage import StageRunner
from sere_core.train.streams import BatchMaker
from sere_core.train.whole import VisibleData

MOST, TOTAL = 1.05, 10**4
#: source rows, target rows, share of the training that is done -> the term
Term = Callable[[Tensor, Tensor, float], Tensor]


def dan(source: Tensor, target: Tensor, fraction: float) -> Tensor:
    """Five Gaussian kernels, biased; block by block, which is quicker than the one large matrix of public code."""

    def squared(a: Tensor, b: Tensor) -> Tensor:
        return (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(dim=2)

    with torch.no_grad():
        rows = torch.cat([source, target])
        width = squared(rows, rows).sum().item() / (len(rows) ** 2 - len(rows)) / 4

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        gaps = squared(a, b)
        return sum((torch.exp(-gaps / (width * 2**power)) for power in range(5)), start=torch.zeros(()))

    return kernel(source, source).mean() + kernel(target, target).mean() - 2 * kernel(source, target).mean()


class Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return rows.view_as(rows)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return -ctx.strength * grad, None


def dann(discriminator: nn.Module) -> Term:
    def term(source: Tensor, target: Tensor, fraction: float) -> Tensor:
        strength = 2 / (1 + math.exp(-10 * fraction)) - 1
        logits = discriminator(Reversal.apply(torch.cat([source, target]), strength)).squeeze(1)  # type: ignore[no-untyped-call]
        ours, theirs = logits[: len(source)], logits[len(source) :]
        right = functional.binary_cross_entropy_with_logits
        return (right(ours, torch.ones_like(ours)) + right(theirs, torch.zeros_like(theirs))) / 2

    return term


def discriminator_of(loss: Any) -> nn.Module:
    """A plain one with the same weights."""
    first, _, _, second, _, _, last = loss.adversary.discriminator.layers
    hidden = first.out_features
    made = nn.Sequential(
        *(nn.Linear(first.in_features, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()),
        *(nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()),
        nn.Linear(hidden, 1),
    )
    for mine, theirs in zip(made.parameters(), loss.adversary.discriminator.parameters(), strict=True):
        mine.data.copy_(theirs.data)
    assert last.out_features == 1 and second.out_features == hidden
    return made


def engine_and_plain(name: str, rate: int) -> tuple[Callable[[int], float], Callable[[int], float]]:
    """What makes a step of each, and returns its loss."""
    parts = builder(f"losses.adapt.use=sere.{name}", "resonance=null")
    train, made = parts.resolved.config.train, {each: stream(each, rate) for each in SIZES}
    method, other = (cast(Any, parts.method()) for _ in range(2))
    stage = method.stages()[0]
    terms: list[float] = []
    data = VisibleData(made, lambda: network(method.backbone), CPU)
    run = StageRunner(stage, method, BatchMaker(made, train, 0, CPU), data, train, TOTAL // train.epochs)
    backbone, adversary = other.backbone, discriminator_of(other.losses["adapt"]) if name == "dann" else None
    term = dan if adversary is None else dann(adversary)
    draws = BatchMaker(made, train, 0, CPU)
    trained = [*backbone.parameters(), *(adversary.parameters() if adversary is not None else [])]
    optimizer = torch.optim.Adam([each for each in trained if each.requires_grad], lr=1e-3, fused=True)
    method.train(), backbone.train()
    steps = run.steps * run.epochs

    def engine(number: int) -> float:
        return sum(run._step(run._progress(number, 0)).values())

    def plain(number: int) -> float:
        raws = draws.draw(frozenset(SIZES), number)
        labelled, source, target = (backbone.encode(raws[each]) for each in SIZES)
        rows = torch.cat([labelled.embedding, source.embedding])
        loss = functional.cross_entropy(labelled.logits, labelled.labels) + term(rows, target.embedding, number / steps)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        terms.append(loss.item())
        return terms[-1]

    return engine, plain


def ratio(name: str, rate: int, count: int, rounds: int) -> float:
    """Print what a step costs; the median ratio."""
    engine, plain = engine_and_plain(name, rate)
    for number in range(3):  # warms up, too
        ours, theirs = engine(number), plain(number)
        assert math.isclose(ours, theirs, rel_tol=1e-4), f"step {number} of {name}: the engine's loss is {ours}, the plain loop's {theirs}"
    ratios, costs = [], []
    for turn in range(rounds):
        ours, theirs = [], []
        for number in range(3 + turn * count, 3 + (turn + 1) * count):
            sides = [(ours, engine), (theirs, plain)]
            for times, step in sides if number % 2 else sides[::-1]:  # the second finds the utterances in the processor's cache
                times.append(cpu(partial(step, number)))
        ratios.append(statistics.median(one / other for one, other in zip(ours, theirs, strict=True)))
        costs.append(statistics.median(theirs))
    found = statistics.median(ratios)
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(f"{name}: plain loop {1e3 * statistics.median(costs):.2f} ms a step, engine {found:.3f} times that ({rounds} rounds: {spread})")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40, help="steps of each in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rate", type=int, default=10, help="frames a second")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = [ratio(name, options.rate, options.steps, options.rounds) for name in ("dan", "dann")]
    return 0 if max(found) <= MOST else 1


if __name__ == "__main__":
    raise SystemExit(main())
