"""How fast and how lean the resonance field is, as ratios to the plain full-matrix version under autograd, all in one run.

    python benchmarks/field.py [--rounds 7] [--threads 2]

A pair's T_a x T_b matrix, its burst term and its argmax are what the plain version keeps for the backward pass and the
field never builds.  Times are medians over rounds in which the two take turns; memory is the largest resident set above
that of the inputs, each measured in a process of its own.
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


def plain(a: UnlabelledBatch, b: UnlabelledBatch, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Equations 3 to 6 as written, for utterances of equal length: the full matrix, an argmax, two gathers."""
    za, zb = a.frames.values, b.frames.values
    ea, eb = a.bursts.abs() @ alpha, b.bursts.abs() @ alpha
    cosine = torch.einsum("aid,bjd->abij", torch.nn.functional.normalize(za, dim=-1), torch.nn.functional.normalize(zb, dim=-1))
    resonance = cosine * torch.exp(-(ea[:, None, :, None] - eb[None, :, None, :]).abs() / TAU)
    best, winner = resonance.max(dim=-1)
    chosen = (ea >= ea.mean(dim=1, keepdim=True)).to(za.dtype).unsqueeze(1)
    similarity = (best * chosen).sum(-1) / chosen.sum(-1)
    told = zb[torch.arange(len(zb))[None, :, None], winner].mean(dim=2)
    return similarity, told


def objective(similarity: Tensor, told: Tensor) -> Tensor:
    return similarity.sum() + told.square().sum() / told.shape[-1]


def _train(which: str, a: UnlabelledBatch, b: UnlabelledBatch, irf: Irf) -> None:
    if which == "plain":
        similarity, told = plain(a, b, irf.alpha)
    else:
        found = irf(a, b)
        similarity, told = found.similarity, found.told
    objective(similarity, told).backward()  # type: ignore[no-untyped-call]
    for leaf in (a.frames.values, b.frames.values, a.bursts, b.bursts, irf.weights):
        leaf.grad = None


def _high_water() -> float:
    """KiB: the largest resident set that this process has had (Linux; getrusage would also count the parent's)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1])
    raise RuntimeError("this system does not say how much memory a process has had")


def _peak(which: str, shape: tuple[int, int, int, int], threads: int) -> float:
    """MiB above the inputs, for one forward and backward."""
    torch.set_num_threads(threads)
    count_a, count_b, frames, width = shape
    a, b, irf = batch(count_a, frames, width, 1), batch(count_b, frames, width, 2), field(width)
    _train(which, batch(2, 8, width, 1), batch(2, 8, width, 2), irf)  # what libraries allocate once
    before = _high_water()
    _train(which, a, b, irf)
    return (_high_water() - before) / 1024


def peak(which: str, shape: tuple[int, int, int, int], threads: int) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (which, shape, threads))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(shape: tuple[int, int, int, int], rounds: int, threads: int) -> None:
    count_a, count_b, frames, width = shape
    a, b, irf = batch(count_a, frames, width, 1), batch(count_b, frames, width, 2), field(width)
    left, right = a.frames.values.detach().flatten(0, 1), b.frames.values.detach().flatten(0, 1)

    def quiet(work: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            with torch.no_grad():
                work()

        return run

    works: dict[str, Callable[[], object]] = {
        "gemm": lambda: left @ right.T,
        "search": quiet(lambda: irf.similarity(a, b)),
        "forward": quiet(lambda: irf(a, b)),
        "train": lambda: _train("field", a, b, irf),
        "plain": lambda: _train("plain", a, b, irf),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            took = seconds(work)
            if turn:  # the first turn warms up
                times[name].append(took)
    middle = {name: statistics.median(values) for name, values in times.items()}

    with torch.no_grad():
        got, want = irf(a, b), plain(a, b, irf.alpha)
    off = max(_distance(got.similarity, want[0]), _distance(got.told, want[1]))
    lean, full = peak("field", shape, threads), peak("plain", shape, threads)
    print(f"{count_a} x {count_b} pairs, T = {frames}, D = {width}")
    print(f"    forward + backward   {middle['plain'] / middle['train']:5.2f} x faster than plain   ({middle['train'] * 1e3:.0f} ms)")
    print(f"    forward, S and told  {middle['forward'] / middle['gemm']:5.2f} x one matrix product ({middle['gemm'] * 1e3:.0f} ms)")
    print(f"    forward, S alone     {middle['search'] / middle['gemm']:5.2f} x")
    print(f"    extra memory         {full / max(lean, 1e-9):5.1f} x less than plain     ({lean:.0f} MiB, plain {full:.0f} MiB)")
    print(f"    largest difference   {off:.1e} of the largest value")


def _distance(got: Tensor, want: Tensor) -> float:
    return float((got - want).abs().max() / want.abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for shape in ((25, 16, 200, 772), (25, 16, 200, 260)):
        compare(shape, options.rounds, options.threads)
    print(f"8 x 8 pairs, T = 1500, D = 772: {peak('field', (8, 8, 1500, 772), options.threads):.0f} MiB above the inputs")


if __name__ == "__main__":
    main()
