"""The searches of equations 4 and 5, which keep no T_a x T_b matrix, and what of their results has a gradient.

max_j R_ij of every pair of utterances comes from blocks of one matrix product each; j*(i) is read off for
chosen pairs alone. `resonance` is always equation 4, from cosines and gaps of burst strengths: it may
overwrite both.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from sere_registry import Frames

Resonance = Callable[[Tensor, Tensor | None], Tensor]
#: z `[B, T, D]`, real frames `[B, T]`, e `[B, T]` or None
Padded = tuple[Tensor, Tensor, Tensor | None]

#: frame pairs in a block: on a CPU it stays near the core, a GPU wants fewer and larger products
CPU_BLOCK, GPU_BLOCK = 1 << 19, 1 << 25
#: frame pairs from which on threads are worth starting
THREADS_FROM = 1 << 20
#: frame pairs of all chosen pairs that are looked at together
TOGETHER = 1 << 20


def highest(a: Frames, chosen: Tensor, ea: Tensor | None, b: Frames, eb: Tensor | None, resonance: Resonance) -> Tensor:
    """The mean over chosen frames i of a of max_j R_ij, for every utterance of a and of b: `[A, B]`, without gradient.

    Args:
        chosen: `[A, T_a]`; an utterance without any has S = 0.
        ea, eb: burst strengths `[A, T_a]`, `[B, T_b]`, or None.
    """
    lengths, counts = b.mask.sum(dim=1), chosen.sum(dim=1)
    slots, starts = b.mask.flatten().nonzero().squeeze(1), lengths.cumsum(0) - lengths
    heads = chosen.flatten().nonzero().squeeze(1)
    ua, own = _units(a.values, heads), None if ea is None else ea.flatten()[heads]
    if not len(heads) or not len(slots):
        return ua.new_zeros(len(counts), len(lengths))
    pairs, threads, cpu = len(heads) * len(slots), torch.get_num_threads(), ua.device.type == "cpu"
    threads = threads if cpu and pairs >= THREADS_FROM else 1
    size = min(CPU_BLOCK, pairs // (2 * threads) + 1) if threads > 1 else CPU_BLOCK if cpu else GPU_BLOCK
    best = ua.new_empty(len(lengths), len(ua))

    def work(group: Tensor, ub: Tensor, others: Tensor | None, part: slice) -> None:
        with torch.no_grad():  # a new thread begins with gradients on
            gap = None if own is None or others is None else own[part] - others.unsqueeze(1)
            scores = resonance(ub @ ua[part].T, gap)
            best[group, part] = scores.view(len(group), -1, scores.shape[1]).amax(dim=1)

    tasks = []
    together = max(1, size // (int(lengths.max()) * len(ua)))
    # utterances of about equal length together: the last frame of shorter ones is repeated, which changes no maximum
    for group in torch.split(lengths.argsort(stable=True), together):
        places = torch.arange(int(lengths[group].max()), device=ua.device)
        rows = slots[(starts[group].unsqueeze(1) + torch.minimum(places, lengths[group].unsqueeze(1) - 1)).flatten()]
        ub, others = _units(b.values, rows), None if eb is None else eb.flatten()[rows]
        step = max(64, size // len(rows))
        tasks += [(group, ub, others, slice(first, first + step)) for first in range(0, len(ua), step)]
    _run(work, tasks, threads)
    share = (1.0 / counts.to(ua.dtype)).repeat_interleave(counts)
    frames = torch.arange(len(ua), device=ua.device)
    return embedding_bag(frames, best.T.contiguous(), counts.cumsum(0) - counts, mode="sum", per_sample_weights=share)


def _run(work: Callable[..., None], tasks: list[Any], threads: int) -> None:
    """All tasks, each whole in one thread: operations this short lose more by waiting for each other than
    they gain."""
    if threads == 1:
        for task in tasks:
            work(*task)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(lambda task: work(*task), tasks))
    finally:
        torch.set_num_threads(threads)  # the setting is partly the process's


def best_matches(a: Padded, b: Padded, picks: Tensor, resonance: Resonance, both: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """R_{i, j*(i)} and j*(i) `[P, T_a]` of row i of a and row `picks[i]` of b; with `both` also the best i of each j, `[P, T_b]`.

    R is symmetric, only S is directed: one matrix serves both.  Of equals the first is best.  Values in
    padding never matter.
    """
    (za, real, ea), (zb, other, eb) = a, b
    frames, others = real.shape[1], other.shape[1]
    best = za.new_zeros(len(picks), frames)
    j = torch.zeros(len(picks), frames, dtype=torch.long, device=za.device)
    i = torch.zeros(len(picks), others, dtype=torch.long, device=za.device) if both else None
    together = max(1, TOGETHER // max(frames * others, 1))
    step = max(1, TOGETHER // max(others, 1))  # rows at a time: all, unless two utterances alone exceed that
    with torch.no_grad():
        for start in range(0, len(picks), together):
            part = slice(start, start + together)
            partner, columns = zb[picks[part]], other[picks[part]].unsqueeze(1)
            norms, top = _inverse_norms(partner).unsqueeze(1), None
            for first in range(0, frames, step):
                rows = slice(first, first + step)
                own = za[part, rows]
                cosine = torch.bmm(own, partner.transpose(1, 2)).mul_(_inverse_norms(own).unsqueeze(2)).mul_(norms)
                gap = None if ea is None or eb is None else ea[part, rows].unsqueeze(2) - eb[picks[part]].unsqueeze(1)
                scores = resonance(cosine, gap).masked_fill_(~columns, -torch.inf)
                best[part, rows], j[part, rows] = scores.max(dim=2)
                if i is not None:
                    value, place = scores.masked_fill_(~real[part, rows].unsqueeze(2), -torch.inf).max(dim=1)
                    i[part] = place if top is None else torch.where(value > top, place + first, i[part])
                    top = value if top is None else torch.maximum(top, value)
    return best, j, i


def _units(values: Tensor, rows: Tensor) -> Tensor:
    """z / |z| at these rows of the flattened batch, `[n, D]`, in at least float32."""
    frames = values.detach().flatten(0, 1).index_select(0, rows)
    frames = frames.to(torch.promote_types(frames.dtype, torch.float32))
    return frames.mul_(_inverse_norms(frames).unsqueeze(1))


def _inverse_norms(rows: Tensor) -> Tensor:
    """1 / |row|, and 0 for a zero row, whose cosine with anything is 0: `[..., D]` -> `[...]`."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=-1)
    return norms.masked_fill_(norms == 0, torch.inf).reciprocal_()


# -- with gradient ----------------------------------------------------------------------------------------------------


def mean_of_matches(frames: Tensor, place: Tensor, real: Tensor, rows: Tensor) -> Tensor:
    """Equation 5: the mean over real i of frame `place[p, i]` of utterance `rows[p]`, `[P, D]`; differentiable in the frames.

    Args:
        frames: `[B, T, D]`; those that nothing was matched with never matter.
        place, real: `[P, T']`.
    """
    return _MeanOfMatches.apply(frames, place, real, rows)  # type: ignore[no-any-return, no-untyped-call]


class _MeanOfMatches(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, frames: Tensor, place: Tensor, real: Tensor, rows: Tensor) -> Tensor:
        cell = place + (rows * frames.shape[1]).unsqueeze(1)
        ctx.shape = frames.shape
        ctx.save_for_backward(cell, real)
        counts = real.sum(dim=1)
        return embedding_bag(cell[real], frames.flatten(0, 1), counts.cumsum(0) - counts, mode="mean")

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> Any:
        """zt = A @ z with A `[P, B * T]`, how often each frame was matched over T': the gradient of z is A^T
        @ that of zt."""
        cell, real = ctx.saved_tensors
        share = real.to(grad.dtype) / real.sum(dim=1, keepdim=True).clamp(min=1)
        alignment = grad.new_zeros(len(cell), ctx.shape[0] * ctx.shape[1]).scatter_add_(1, cell, share)
        return (alignment.T @ grad).view(ctx.shape), None, None, None


def deferred(value: Tensor, function: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
    """`value`, which is what `function(*inputs)` returns; the function runs in the backward pass only, if a
    gradient comes."""
    return _Deferred.apply(value, function, *inputs)  # type: ignore[no-any-return, no-untyped-call]


class _Deferred(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, function: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(*inputs)
        return value.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> Any:
        needed = ctx.needs_input_grad[2:]
        pairs = zip(ctx.saved_tensors, needed, strict=True)
        inputs = [each if each is None else each.detach().requires_grad_(on) for each, on in pairs]
        with torch.enable_grad():
            value: Tensor = ctx.function(*inputs)
        value.backward(grad)  # type: ignore[no-untyped-call]
        return None, None, *(None if each is None else each.grad for each in inputs)
