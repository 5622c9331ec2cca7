"""Equation 5's search: for each frame of a the best frame of b, block by block, without gradient.

The T_a x T_b matrix of a pair never stands in memory as a whole.  One block is one matrix product of all frames of one b
with as many frames of the a's as keep the block near a core; the burst term is applied in place while it is there, and
only each column's best value and where it stands leave the block.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sere_plugins.resonance.kernel import Kernel
from sere_plugins.resonance.packing import Layout
from sere_plugins.resonance.workers import run_everywhere, taken

#: values in a block: in smaller ones threads wait more often for each other between operations, larger ones leave the cache
CPU_BLOCK = 1 << 19
#: a GPU wants fewer and larger products
GPU_BLOCK = 1 << 25
#: frame pairs from which on threads are worth starting
THREADS_FROM = 1 << 20

#: (first and last + 1 utterance of a, utterance of b, lane)
Job = tuple[int, int, int, int]


@dataclass(frozen=True)
class Plan:
    """Which utterances of a meet which of b.

    In a plan of every pair, lane l of the results is utterance l of b; in an aligned plan (row i with row i) there is one lane.
    """

    a: Layout
    b: Layout
    aligned: bool

    @property
    def lanes(self) -> int:
        return 1 if self.aligned else len(self.b)

    @property
    def pairs(self) -> int:
        """How many pairs of frames meet, in an aligned plan about."""
        return self.a.frames * self.b.frames // (max(len(self.b), 1) if self.aligned else 1)

    def jobs(self) -> Iterator[Job]:
        """Each utterance of b with all that it meets."""
        for b in range(len(self.b)):
            yield (b, b + 1, b, 0) if self.aligned else (0, len(self.a), b, b)


def search(ua: Tensor, ub: Tensor, ea: Tensor | None, eb: Tensor | None, plan: Plan, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """max_j R_ij and j*(i), equations 4 and 5, for every real frame i of a in every lane.

    Args:
        ua, ub: packed frames of a and b, `[N_a, D]`, `[N_b, D]`, of norm 1 (or 0).
        ea, eb: burst strengths `[N_a]`, `[N_b]`; None for a kernel without burst term.

    Returns:
        R_{i, j*(i)} `[lanes, N_a]`, and j*(i) as packed frames of b `[lanes, N_a]` (the first of equals).
    """
    best = ua.new_empty(plan.lanes, plan.a.frames)
    winner = torch.empty(best.shape, dtype=torch.long, device=ua.device)
    tasks = deque(_blocks(plan, block_size(plan.pairs, ua.device)))
    largest = max((plan.b.lengths[b] * (part.stop - part.start) for b, _, part in tasks), default=0)
    top = Top(max(plan.b.lengths, default=0), ua)

    def work() -> None:
        memory = ua.new_empty(2, largest)
        for b, lane, part in taken(tasks):
            columns = plan.b.rows(b, b + 1)
            scores = resonance(ua, ub, ea, eb, part, columns, kernel, memory)
            best[lane, part], at = top(scores)
            torch.add(at, columns.start, out=winner[lane, part])

    run_everywhere(work, enough=worth_threads(plan.pairs, ua.device))
    return best, winner


def resonance(
    ua: Tensor, ub: Tensor, ea: Tensor | None, eb: Tensor | None, part: slice, columns: slice, kernel: Kernel, memory: Tensor
) -> Tensor:
    """R of the frames `columns` of b and `part` of a, equation 4, transposed: `[columns, part]`, a view of `memory` `[2, size]`."""
    shape = (columns.stop - columns.start, part.stop - part.start)
    scores, gap = memory[:, : shape[0] * shape[1]].view(2, *shape).unbind()
    torch.mm(ub[columns], ua[part].T, out=scores)
    if kernel.sync is None or ea is None or eb is None:
        return scores
    torch.sub(ea[part], eb[columns].unsqueeze(1), out=gap)
    synchrony = kernel.synchrony(gap)
    return scores.mul_(synchrony) if kernel.combine == "product" else scores.add_(synchrony)


def worth_threads(pairs: int, device: torch.device) -> bool:
    """Are there pairs of frames enough for threads to be started?"""
    return device.type == "cpu" and pairs >= THREADS_FROM


def block_size(pairs: int, device: torch.device) -> int:
    """How many pairs of frames a block has, at least two blocks for each thread."""
    if device.type != "cpu":
        return GPU_BLOCK
    return min(CPU_BLOCK, pairs // (2 * torch.get_num_threads()) + 1) if worth_threads(pairs, device) else CPU_BLOCK


def _blocks(plan: Plan, size: int) -> Iterator[tuple[int, int, slice]]:
    """(utterance of b, lane, frames of a), each with about `size` frame pairs."""
    for first, last, b, lane in plan.jobs():
        rows = plan.a.rows(first, last)
        step = max(64, size // max(plan.b.lengths[b], 1))
        for start in range(rows.start, rows.stop, step):
            yield b, lane, slice(start, min(start + step, rows.stop))


class Top:
    """Each column's maximum and its first row, in scores `[T_b, n]` that are written over.

    On a CPU a maximum is vectorised and one that returns places is not (several times slower, measured): so they are read
    off with a product, `[0, 1, 2, ...; 1, 1, 1, ...] @ (scores == maximum)`, whose second row tells the rare ties.
    """

    def __init__(self, longest: int, like: Tensor) -> None:
        self._rows = torch.stack([torch.arange(longest, dtype=like.dtype), torch.ones(longest, dtype=like.dtype)])

    def __call__(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        if scores.device.type != "cpu":
            return tuple(scores.max(dim=0))  # type: ignore[return-value]
        top = scores.amax(dim=0)
        same = torch.eq(scores, top, out=scores)
        row, count = self._rows[:, : len(same)] @ same
        at = row.long()
        if int(count.amax()) > 1:
            tied = (count > 1).nonzero().squeeze(1)
            at[tied] = same[:, tied].argmax(dim=0)
        return top, at
