"""Equations 4 to 6 for short pairs: row i of a with row i of b, all pairs in one product.

A pair of sentences at ten or fifty frames a second has a matrix so small that what costs is the number of operations, not
their size.  Padding is never copied or cleaned: it is kept out of the maxima, and only real frames are summed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from sere_plugins.resonance.gradient import local
from sere_plugins.resonance.kernel import Kernel

#: frame pairs, padding counted, up to which a pair is short
SHORT = 1 << 18
#: frame pairs of all the pairs that are looked at together
_TOGETHER = 1 << 20


def rows(za: Tensor, zb: Tensor, ea: Tensor | None, eb: Tensor | None, masks: tuple[Tensor, Tensor], shares: Tensor, kernel: Kernel) -> Any:
    """S `[P]` and zt `[P, D]` of aligned pairs, differentiable in z and e.

    Args:
        za, zb: padded frames `[P, T_a, D]`, `[P, T_b, D]`; what stands in padding never matters.
        ea, eb: burst strengths `[P, T_a]`, `[P, T_b]`, 0 in padding; or None for a kernel without burst term.
        masks: the real frames of both.
        shares: `[P, T_a]`, what each frame of a counts in equation 6, 0 in padding.
    """
    return _Rows.apply(za, zb, ea, eb, masks, shares, kernel)  # type: ignore[no-untyped-call]


def _winners(
    za: Tensor, zb: Tensor, norms: tuple[Tensor, Tensor], ea: Tensor | None, eb: Tensor | None, columns: Tensor, kernel: Kernel
) -> tuple[Tensor, Tensor]:
    """max_j R_ij and j*(i), the first of equals, `[P, T_a]`."""
    step = max(1, _TOGETHER // max(za.shape[1] * zb.shape[1], 1))
    best, winner = za.new_empty(za.shape[:2]), torch.empty(za.shape[:2], dtype=torch.long, device=za.device)
    for first in range(0, len(za), step):
        part = slice(first, first + step)
        scores = torch.bmm(za[part], zb[part].transpose(1, 2))
        scores.mul_(norms[0][part].unsqueeze(2)).mul_(norms[1][part].unsqueeze(1))
        if kernel.sync is not None and ea is not None and eb is not None:
            synchrony = kernel.synchrony(ea[part].unsqueeze(2) - eb[part].unsqueeze(1))
            scores = scores.mul_(synchrony) if kernel.combine == "product" else scores.add_(synchrony)
        scores.masked_fill_(~columns[part].unsqueeze(1), -torch.inf)
        torch.max(scores, dim=2, out=(best[part], winner[part]))
    return best, winner


def _inverse_norms(frames: Tensor) -> Tensor:
    """1 / |z|, and 0 for a zero frame, `[P, T]`."""
    norms: Tensor = torch.linalg.vector_norm(frames, dim=2)
    return norms.reciprocal().masked_fill_(norms == 0, 0.0)


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, za, zb, ea, eb, masks, shares, kernel):  # type: ignore[no-untyped-def]
        real, columns = masks
        na, nb = _inverse_norms(za), _inverse_norms(zb)
        best, winner = _winners(za, zb, (na, nb), ea, eb, columns, kernel)
        best.masked_fill_(~real, 0.0)
        counts = real.sum(dim=1)
        at = (winner + torch.arange(len(zb), device=zb.device).unsqueeze(1) * zb.shape[1])[real]
        told = embedding_bag(at, zb.flatten(0, 1), counts.cumsum(0) - counts, mode="mean")
        ctx.kernel = kernel
        ctx.save_for_backward(za, zb, ea, eb, real, columns, shares, na, nb, best, winner)
        ctx.set_materialize_grads(False)
        return (best * shares).sum(dim=1), told

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx, grad_similarity, grad_told):  # type: ignore[no-untyped-def]
        za, zb, ea, eb, real, columns, shares, na, nb, best, winner = ctx.saved_tensors
        dza = dzb = dea = deb = None
        if grad_told is not None:
            weights = real.to(zb.dtype) / real.sum(dim=1, keepdim=True)
            heard = zb.new_zeros(zb.shape[:2]).scatter_add_(1, winner, weights)
            dzb = torch.bmm(heard.unsqueeze(2), grad_told.unsqueeze(1))
        if grad_similarity is not None:
            weight = grad_similarity.unsqueeze(1) * shares
            matched = None if eb is None else eb.gather(1, winner)
            pull, along, gap = local(weight, best, ea, matched, ctx.kernel)
            a, b = za.masked_fill(~real.unsqueeze(2), 0.0), zb.masked_fill(~columns.unsqueeze(2), 0.0)
            na, nb = na.masked_fill(~real, 0.0).unsqueeze(2), nb.masked_fill(~columns, 0.0).unsqueeze(2)
            a, b = a * na, b * nb
            pulls = za.new_zeros(len(za), za.shape[1], zb.shape[1]).scatter_(2, winner.unsqueeze(2), pull.unsqueeze(2))
            dza = torch.bmm(pulls, b).addcmul_(a, along.unsqueeze(2), value=-1).mul_(na)
            back = torch.zeros_like(columns, dtype=zb.dtype).scatter_add_(1, winner, along)
            towards = torch.bmm(pulls.transpose(1, 2), a).addcmul_(b, back.unsqueeze(2), value=-1).mul_(nb)
            dzb = towards if dzb is None else dzb.add_(towards)
            if gap is not None:
                dea, deb = gap, torch.zeros_like(eb).scatter_add_(1, winner, gap).neg_()
        return dza, dzb, dea, deb, None, None, None
