"""How fast and how lean the resonance field is in a step of TRIC, as ratios to plain full matrices under autograd, all in one run.

    python benchmarks/field.py [--rounds 7] [--threads 2]

A step is what TRIC does with two streams: the best partner of each utterance of a, searched over all pairs without gradient, and the
chosen pairs aligned in both directions, forward and backward.  The plain version computes every pair's matrix under autograd, as
equations 3 to 6 are written, and takes the chosen pairs from the result.  Times are medians over rounds in which the two take turns;
memory is the largest resident set above that of the inputs, each measured in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from sere_plugins.resonance.irf import Irf
from sere_plugins.specs.resonance import IrfParams
from sere_registry import BuildContext, Frames, UnlabelledBatch

K = 4
TAU = 0.5
#: utterances of a, of b, frames, width
Size = tuple[int, int, int, int]


def batch(utterances: int, frames: int, width: int, seed: int) -> UnlabelledBatch:
    """Utterances of equal length with normally distributed frames, leaves of the graph."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(utterances, frames, width, generator=generator).requires_grad_()
    bursts = torch.randn(utterances, frames, K, generator=generator).requires_grad_()
    mask = torch.ones(utterances, frames, dtype=torch.bool)
    none = values.new_zeros(utterances, 0)
    return UnlabelledBatch(Frames(values, mask, 50.0), bursts, none, none, none, torch.arange(utterances), ("",) * utterances)


def field(width: int) -> Irf:
    return Irf(IrfParams(temperature=TAU), BuildContext(id="irf", dim=width - K, dynamics_dim=K))


def lean(a: UnlabelledBatch, b: UnlabelledBatch, irf: Irf) -> tuple[Tensor, Tensor, Tensor]:
    """S of each utterance of a and its best partner, and both aligned representations."""
    found = irf.aligned(a, b, irf.similarity(a, b).argmax(dim=1), both=True)
    assert found.reverse is not None
    return found.similarity, found.aligned, found.reverse


def plain(a: UnlabelledBatch, b: UnlabelledBatch, irf: Irf) -> tuple[Tensor, Tensor, Tensor]:
    """The same from equations 3 to 6 as written, for utterances of equal length: full matrices, argmax, gathers."""
    za, zb = a.frames.values, b.frames.values
    ea, eb = a.bursts.abs() @ irf.alpha, b.bursts.abs() @ irf.alpha
    cosine = torch.einsum("aid,bjd->abij", torch.nn.functional.normalize(za, dim=-1), torch.nn.functional.normalize(zb, dim=-1))
    resonance = cosine * torch.exp(-(ea[:, None, :, None] - eb[None, :, None, :]).abs() / TAU)
    best, winner = resonance.max(dim=-1)
    chosen = (ea >= ea.mean(dim=1, keepdim=True)).to(za.dtype).unsqueeze(1)
    similarity = (best * chosen).sum(-1) / chosen.sum(-1)
    rows, picks = torch.arange(len(za)), similarity.argmax(dim=1)
    aligned = zb[picks.unsqueeze(1), winner[rows, picks]].mean(dim=1)
    reverse = za[rows.unsqueeze(1), resonance[rows, picks].argmax(dim=1)].mean(dim=1)
    return similarity[rows, picks], aligned, reverse


STEPS = {"field": lean, "plain": plain}


def train(which: str, a: UnlabelledBatch, b: UnlabelledBatch, irf: Irf, graded: bool = False) -> None:
    """Forward and backward of equation 9; `graded`: S has a gradient too, as with `mix: resonance`."""
    similarity, aligned, reverse = STEPS[which](a, b, irf)
    loss = (aligned - reverse).square().sum() + (similarity.sum() if graded else 0.0)
    loss.backward()  # type: ignore[no-untyped-call]
    for leaf in (a.frames.values, b.frames.values, a.bursts, b.bursts, irf.weights):
        leaf.grad = None


def _high_water() -> float:
    """KiB: the largest resident set that this process has had (Linux; getrusage would also count the parent's)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1])
    raise RuntimeError("this system does not report how much memory a process has had")


def _peak(which: str, size: Size, threads: int) -> float:
    torch.set_num_threads(threads)
    count_a, count_b, frames, width = size
    a, b, irf = batch(count_a, frames, width, 1), batch(count_b, frames, width, 2), field(width)
    train("plain" if which == "plain" else "field", batch(2, 8, width, 1), batch(2, 8, width, 2), irf)  # what libraries allocate once
    before = _high_water()
    if which == "search":
        irf.similarity(a, b)
    else:
        train(which, a, b, irf)
    return (_high_water() - before) / 1024


def peak(which: str, size: Size, threads: int) -> float:
    """MiB above the inputs, for one search or one forward and backward."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (which, size, threads))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(size: Size, rounds: int, threads: int) -> None:
    count_a, count_b, frames, width = size
    a, b, irf = batch(count_a, frames, width, 1), batch(count_b, frames, width, 2), field(width)
    left, right = a.frames.values.detach().flatten(0, 1), b.frames.values.detach().flatten(0, 1)
    works: dict[str, Callable[[], object]] = {
        "gemm": lambda: left @ right.T,
        "search": lambda: irf.similarity(a, b),
        "step": lambda: train("field", a, b, irf),
        "graded": lambda: train("field", a, b, irf, graded=True),
        "plain step": lambda: train("plain", a, b, irf),
        "plain graded": lambda: train("plain", a, b, irf, graded=True),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            took = seconds(work)
            if turn:  # the first turn warms up
                times[name].append(took)
    middle = {name: statistics.median(values) for name, values in times.items()}
    with torch.no_grad():
        off = max(float((got - want).abs().max() / want.abs().max()) for got, want in zip(lean(a, b, irf), plain(a, b, irf), strict=True))
    memory = {which: peak(which, size, threads) for which in STEPS}
    print(f"{count_a} x {count_b} pairs, T = {frames}, D = {width}")
    print(f"    step                 {middle['plain step'] / middle['step']:5.2f} x faster than plain   ({middle['step'] * 1e3:.0f} ms)")
    print(
        f"    with gradient of S   {middle['plain graded'] / middle['graded']:5.2f} x faster than plain   ({middle['graded'] * 1e3:.0f} ms)"
    )
    print(f"    search               {middle['search'] / middle['gemm']:5.2f} x one matrix product ({middle['gemm'] * 1e3:.0f} ms)")
    print(
        f"    extra memory         {memory['plain'] / max(memory['field'], 1e-9):5.1f} x less than plain",
        end="",
    )
    print(f"     ({memory['field']:.0f} MiB, plain {memory['plain']:.0f} MiB)")
    print(f"    largest difference   {off:.1e} of the largest value")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for size in ((25, 16, 200, 772), (25, 16, 200, 260)):
        compare(size, options.rounds, options.threads)
    print(f"8 x 8 pairs, T = 1500, D = 772: {peak('search', (8, 8, 1500, 772), options.threads):.0f} MiB above the inputs")


if __name__ == "__main__":
    main()
