"""Equation 5's search: for each frame of a the best frame of b, block by block, without gradient.

The T_a x T_b matrix of a pair never stands in memory as a whole.  One block is one matrix product of all frames of one b
with as many frames of the a's as keep the block in the processor's cache; the burst term is applied in place while it is
there, and only each column's best value (and where it stands) leaves the block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sere_plugins.resonance.kernel import Kernel
from sere_plugins.resonance.packing import Layout

#: values in a thread's share of a block: 2 MiB of float32 stay in the caches; fewer blocks mean fewer waits of threads for each other,
#: which is what costs most on a busy machine
_CPU_BLOCK = 1 << 19
#: a GPU wants fewer and larger products
_GPU_BLOCK = 1 << 25


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

    def jobs(self) -> Iterator[tuple[int, int, int, int]]:
        """(first and last + 1 utterance of a, utterance of b, lane)."""
        for b in range(len(self.b)):
            yield (b, b + 1, b, 0) if self.aligned else (0, len(self.a), b, b)


def search(
    za: Tensor, zb: Tensor, na: Tensor, ea: Tensor | None, eb: Tensor | None, plan: Plan, kernel: Kernel, where: bool
) -> tuple[Tensor, Tensor | None]:
    """max_j R_ij and j*(i), equations 4 and 5, for every real frame i of a in every lane.

    Args:
        za: packed frames of a, `[N_a, D]`, of any norm.
        zb: packed frames of b, `[N_b, D]`, of norm 1 (or 0).
        na: 1 / |z_i^a|, `[N_a]`.
        ea, eb: burst strengths `[N_a]`, `[N_b]`; None for a kernel without burst term.
        where: is j* asked for?

    Returns:
        R_{i, j*(i)} `[lanes, N_a]`, and j*(i) as packed frames of b `[lanes, N_a]` (the first of equals), or None.
    """
    best = za.new_empty(plan.lanes, plan.a.frames)
    winner = torch.empty(best.shape, dtype=torch.long, device=za.device) if where else None
    memory: tuple[Tensor, Tensor] | None = None
    size = _GPU_BLOCK if za.is_cuda else _CPU_BLOCK * torch.get_num_threads()
    for first, last, b, lane in plan.jobs():
        columns, rows = plan.b.rows(b, b + 1), plan.a.rows(first, last)
        length = plan.b.lengths[b]
        left = zb[columns]
        places = _places(left) if where else None
        step = max(1, min(max(size // max(length, 1), 64), rows.stop - rows.start))
        if memory is None or memory[0].numel() < length * step:
            memory = (za.new_empty(length * step), za.new_empty(length * step))
        for start in range(rows.start, rows.stop, step):
            part = slice(start, min(start + step, rows.stop))
            width = part.stop - part.start
            scores = memory[0][: length * width].view(length, width)
            torch.mm(left, za[part].T, out=scores)
            _add_bursts(scores, memory[1], na[part], ea, eb, part, columns, kernel)
            top, at = _top(scores, places)
            best[lane, part] = top
            if winner is not None and at is not None:
                winner[lane, part] = at.add_(columns.start)
    if kernel.combine == "product" or kernel.sync is None:  # a positive factor of a whole row changes no winner
        best.mul_(na)
    return best, winner


def _add_bursts(
    scores: Tensor, memory: Tensor, na: Tensor, ea: Tensor | None, eb: Tensor | None, part: slice, columns: slice, kernel: Kernel
) -> None:
    """The burst term of equation 4, in place on a block of `z^a . z^b / |z^b|`."""
    if kernel.sync is None or ea is None or eb is None:
        return
    gap = torch.sub(ea[part], eb[columns].unsqueeze(1), out=memory[: scores.numel()].view(scores.shape))
    if kernel.combine == "product":
        scores.mul_(kernel.synchrony(gap))
    else:
        scores.mul_(na).add_(kernel.synchrony(gap))


def _places(rows: Tensor) -> Tensor:
    """`[0, 1, 2, ...; 1, 1, 1, ...]`, `[2, T_b]`."""
    ones = torch.ones(len(rows), dtype=rows.dtype, device=rows.device)
    return torch.stack([ones.cumsum(0) - 1, ones])


def _top(scores: Tensor, places: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Each column's maximum and, given `places`, its first row; `scores` `[T_b, n]` is written over.

    On a CPU a maximum is vectorised and one that returns places is not (several times slower, measured): so they are read
    off with a product, `places @ (scores == maximum)`, whose second row tells the rare ties.
    """
    if places is None:
        return scores.amax(dim=0), None
    if scores.device.type != "cpu":
        return tuple(scores.max(dim=0))  # type: ignore[return-value]
    top = scores.amax(dim=0)
    same = torch.eq(scores, top, out=scores)
    row, count = places @ same
    at = row.long()
    tied = (count > 1).nonzero().squeeze(1)
    if len(tied):
        at[tied] = same[:, tied].argmax(dim=0)
    return top, at
