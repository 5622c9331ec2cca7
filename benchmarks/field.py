"""How fast the resonance field is in a step of TRIC, beside plain full matrices under autograd: `python benchmarks/field.py`.

A step: the best partner of each utterance of a, searched over all pairs without gradient, and the chosen pairs aligned in
both directions, forward and backward.  The plain version computes every pair's matrix under autograd, as equations 3 to 6
are written.  Times are medians over rounds in which the two take turns; memory is the largest resident set above that of the
inputs, measured in a process of its own (Linux).
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.ratios import Ratio
from sere_plugins.resonance.irf import Irf
from sere_plugins.specs.resonance import IrfParams
from sere_registry import BuildContext, Frames, UnlabelledBatch

K, TAU, ROUNDS = 4, 0.5, 7
#: utterances of a, of b, frames, width
Size = tuple[int, int, int, int]
SIZES: list[Size] = [(25, 16, 200, 772), (25, 16, 200, 260)]


def batch(utterances: int, frames: int, width: int) -> UnlabelledBatch:
    """Utterances of equal length with normally distributed frames, leaves of the graph."""
    values = torch.randn(utterances, frames, width).requires_grad_()
    bursts = torch.randn(utterances, frames, K).requires_grad_()
    mask, none = torch.ones(utterances, frames, dtype=torch.bool), values.new_zeros(utterances, 0)
    return UnlabelledBatch(Frames(values, mask, 50.0), bursts, none, none, none, torch.arange(utterances), ("",) * utterances)


def made(size: Size) -> tuple[UnlabelledBatch, UnlabelledBatch, Irf]:
    torch.manual_seed(0)
    irf = Irf(IrfParams(temperature=TAU), BuildContext(id="irf", dim=size[3] - K, dynamics_dim=K))
    return batch(size[0], *size[2:]), batch(size[1], *size[2:]), irf


def lean(a: UnlabelledBatch, b: UnlabelledBatch, irf: Irf) -> tuple[Tensor, Tensor, Tensor]:
    """S of each utterance of a and its best partner, and both aligned representations."""
    found = irf.aligned(a, b, irf.similarity(a, b).argmax(dim=1), both=True)
    assert found.reverse is not None
    return found.similarity, found.aligned, found.reverse


def plain(a: UnlabelledBatch, b: UnlabelledBatch, irf: Irf) -> tuple[Tensor, Tensor, Tensor]:
    """The same from equations 3 to 6 as written: full matrices, argmax, gathers."""
    za, zb = a.frames.values, b.frames.values
    ea, eb = a.bursts.abs() @ irf.alpha, b.bursts.abs() @ irf.alpha
    ua, ub = (torch.nn.functional.normalize(each, dim=-1) for each in (za, zb))
    gap = ea[:, None, :, None] - eb[None, :, None, :]
    resonance = torch.einsum("aid,bjd->abij", ua, ub) * torch.exp(-gap.abs() / TAU)
    best, winner = resonance.max(dim=-1)
    chosen = (ea >= ea.mean(dim=1, keepdim=True)).to(za.dtype).unsqueeze(1)
    similarity = (best * chosen).sum(-1) / chosen.sum(-1)
    rows, picks = torch.arange(len(za)), similarity.argmax(dim=1)
    aligned = zb[picks.unsqueeze(1), winner[rows, picks]].mean(dim=1)
    reverse = za[rows.unsqueeze(1), resonance[rows, picks].argmax(dim=1)].mean(dim=1)
    return similarity[rows, picks], aligned, reverse


STEPS = {"field": lean, "plain": plain}


def train(which: str, size: Size) -> tuple[float, float]:
    """Forward and backward of equation 9: seconds, and MiB above the inputs (the first time in a process)."""
    a, b, irf = made(size)
    before, start = high_water(), time.perf_counter()
    _, aligned, reverse = STEPS[which](a, b, irf)
    (aligned - reverse).square().sum().backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - start, high_water() - before


def high_water() -> float:
    """MiB: the largest resident set that this process has had."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return float(line.split()[1]) / 1024


def medians(size: Size, rounds: int) -> dict[str, float]:
    """Seconds of each; a first round warms up."""
    turns = [{which: train(which, size)[0] for which in STEPS} for _ in range(rounds + 1)][1:]
    return {which: statistics.median(turn[which] for turn in turns) for which in STEPS}


def ratios(short: bool) -> list[Ratio]:
    found = {size: medians(size, 3 if short else ROUNDS) for size in SIZES[: 1 if short else None]}
    what, reference = "step of the resonance field, width {}", "full matrices under autograd, wall"
    return [Ratio(what.format(size[3]), each["field"], reference, each["plain"]) for size, each in found.items()]


def main() -> None:
    for size in SIZES:
        seconds = medians(size, ROUNDS)
        with torch.no_grad():
            off = max(float((x - y).abs().max()) for x, y in zip(*(step(*made(size)) for step in STEPS.values()), strict=True))
        print(f"{size[0]} x {size[1]} pairs, T = {size[2]}, D = {size[3]}; largest difference {off:.1e}")
        for which in STEPS:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                memory = pool.apply(train, (which, size))[1]
            print(f"    {which:8}{1e3 * seconds[which]:8.0f} ms {memory:8.0f} MiB")


if __name__ == "__main__":
    main()
