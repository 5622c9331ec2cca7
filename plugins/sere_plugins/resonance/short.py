"""Equations 4 to 6 for chosen pairs of short utterances, both ways: all pairs in one product, one matrix for both ways.

At ten or fifty frames a second two sentences have a matrix so small that what costs is the number of operations, not their
size.  R is symmetric (only S is directed): what a is told by b are its rows' best places, what b is told by a its columns'.
Padding is never copied or cleaned: it is kept out of the maxima, and only real frames are summed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from sere_plugins.resonance.gradient import local
from sere_plugins.resonance.kernel import Kernel

#: frame pairs, padding counted, up to which two utterances are short
SHORT = 1 << 18
#: frame pairs of all that is looked at together
_TOGETHER = 1 << 20


@dataclass(frozen=True)
class Asked:
    """What is asked of the chosen pairs.

    Args:
        picks: `[P]`, the utterance of b that meets utterance i of a; None: utterance i.
        real, others: the real frames `[P, T_a]` of a, `[B, T_b]` of b.
        na, nb: 1 / |z| of their frames, 0 for a zero frame.
        shares: `[P, T_a]`, what each frame of a counts in equation 6, 0 in padding.
        kernel: equation 4.
        back: is what b is told by a asked for?
    """

    picks: Tensor | None
    real: Tensor
    others: Tensor
    na: Tensor
    nb: Tensor
    shares: Tensor
    kernel: Kernel
    back: bool

    def met(self, of_b: Tensor) -> Tensor:
        """Something of each utterance of b, for each pair."""
        return of_b if self.picks is None else of_b.index_select(0, self.picks)


def meet(za: Tensor, zb: Tensor, ea: Tensor | None, eb: Tensor | None, asked: Asked) -> tuple[Tensor, Tensor, Tensor | None]:
    """S `[P]`, what a is told and (if asked for) what b is told `[P, D]`, differentiable in z and e.

    Args:
        za, zb: padded frames `[P, T_a, D]`, `[B, T_b, D]`; what stands in padding never matters.
        ea, eb: burst strengths `[P, T_a]`, `[B, T_b]`, 0 in padding; or None for a kernel without burst term.
    """
    return _Meet.apply(za, zb, ea, eb, asked)  # type: ignore[no-any-return, no-untyped-call]


def _matched(za: Tensor, zb: Tensor, ea: Tensor | None, eb: Tensor | None, asked: Asked) -> tuple[Tensor, ...]:
    """max_j R_ij and its place `[P, T_a]`; the place of max_i R_ij `[P, T_b]`, if asked for.  The first of equals."""
    kernel, columns, na, nb = asked.kernel, asked.met(asked.others), asked.na, asked.met(asked.nb)
    step = max(1, _TOGETHER // max(za.shape[1] * zb.shape[1], 1))
    found: list[tuple[Tensor, ...]] = []
    for first in range(0, len(za), step):
        part = slice(first, first + step)
        scores = torch.bmm(za[part], zb[part].transpose(1, 2))
        scores.mul_(na[part].unsqueeze(2)).mul_(nb[part].unsqueeze(1))
        if kernel.sync is not None and ea is not None and eb is not None:
            synchrony = kernel.synchrony(ea[part].unsqueeze(2) - eb[part].unsqueeze(1))
            scores = scores.mul_(synchrony) if kernel.combine == "product" else scores.add_(synchrony)
        scores.masked_fill_(~columns[part].unsqueeze(1), -torch.inf)
        best, place = scores.max(dim=2)
        if asked.back:
            scores.masked_fill_(~asked.real[part].unsqueeze(2), -torch.inf)
            found.append((best, place, scores.max(dim=1).indices))
        else:
            found.append((best, place))
    return found[0] if len(found) == 1 else tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def _told(frames: Tensor, place: Tensor, real: Tensor, picks: Tensor | None) -> Tensor:
    """The mean of the frames at `place` `[P, T]`, over the `real` ones of them, `[P, D]`."""
    whose = torch.arange(len(place), device=place.device) if picks is None else picks
    at = (place + (whose * frames.shape[1]).unsqueeze(1))[real]
    counts = real.sum(dim=1)
    return embedding_bag(at, frames.flatten(0, 1), counts.cumsum(0) - counts, mode="mean")


def _telling(grad: Tensor, place: Tensor, real: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """How much of each frame is told `[P, T]`, and the gradient of all frames `[P, T, D]`."""
    weights = real.to(grad.dtype) / real.sum(dim=1, keepdim=True)
    heard = grad.new_zeros(len(place), frames).scatter_add_(1, place, weights)
    return heard, torch.bmm(heard.unsqueeze(2), grad.unsqueeze(1))


class _Meet(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, za: Tensor, zb: Tensor, ea: Tensor | None, eb: Tensor | None, asked: Asked) -> Any:
        best, *places = _matched(za, asked.met(zb), ea, None if eb is None else asked.met(eb), asked)
        best.masked_fill_(~asked.real, 0.0)
        ctx.asked = asked
        ctx.save_for_backward(za, zb, ea, eb, best, *places)
        ctx.set_materialize_grads(False)
        back = _told(za, places[1], asked.met(asked.others), None) if asked.back else None
        return (best * asked.shares).sum(dim=1), _told(zb, places[0], asked.real, asked.picks), back

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_similarity: Tensor | None, grad_forth: Tensor | None, grad_back: Tensor | None) -> Any:
        asked = ctx.asked
        za, zb, ea, eb, best, *places = ctx.saved_tensors
        dza = dzb = dea = deb = None
        if grad_back is not None:
            _, dza = _telling(grad_back, places[1], asked.met(asked.others), za.shape[1])
        if grad_forth is not None:
            dzb = _spread(asked, grad_forth, places[0], zb)
        if grad_similarity is not None:
            more, others, gaps = _of_similarity(grad_similarity, asked, za, asked.met(zb), ea, eb, best, places[0])
            dza = more if dza is None else dza.add_(more)
            if asked.picks is not None:
                others = torch.zeros_like(zb).index_add_(0, asked.picks, others)
            dzb = others if dzb is None else dzb.add_(others)
            if gaps is not None:
                dea = gaps[0]
                deb = gaps[1] if asked.picks is None else torch.zeros_like(eb).index_add_(0, asked.picks, gaps[1])
        return dza, dzb, dea, deb, None


def _spread(asked: Asked, grad: Tensor, place: Tensor, zb: Tensor) -> Tensor:
    """The gradient of zb `[B, T_b, D]` from that of what a is told."""
    if asked.picks is None:
        return _telling(grad, place, asked.real, zb.shape[1])[1]
    weights = asked.real.to(grad.dtype) / asked.real.sum(dim=1, keepdim=True)
    cell = place + (asked.picks * zb.shape[1]).unsqueeze(1)
    heard = grad.new_zeros(len(place), len(zb) * zb.shape[1]).scatter_add_(1, cell, weights)
    return (heard.T @ grad).view(zb.shape)


def _of_similarity(
    grad: Tensor,
    asked: Asked,
    za: Tensor,
    zb: Tensor,
    ea: Tensor | None,
    eb: Tensor | None,
    best: Tensor,
    place: Tensor,
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
    """dS/dz^a `[P, T_a, D]`, dS/dz^b `[P, T_b, D]` of what was met, and those of e^a and e^b, times `grad`."""
    matched = None if eb is None else asked.met(eb).gather(1, place)
    pull, along, gap = local(grad.unsqueeze(1) * asked.shares, best, ea, matched, asked.kernel)
    columns = asked.met(asked.others)
    na, nb = asked.na.masked_fill(~asked.real, 0.0).unsqueeze(2), asked.met(asked.nb).masked_fill(~columns, 0.0).unsqueeze(2)
    a = za.masked_fill(~asked.real.unsqueeze(2), 0.0) * na
    b = zb.masked_fill(~columns.unsqueeze(2), 0.0) * nb
    pulls = za.new_zeros(len(za), za.shape[1], zb.shape[1]).scatter_(2, place.unsqueeze(2), pull.unsqueeze(2))
    back = za.new_zeros(columns.shape).scatter_add_(1, place, along)
    dza = torch.bmm(pulls, b).addcmul_(a, along.unsqueeze(2), value=-1).mul_(na)
    dzb = torch.bmm(pulls.transpose(1, 2), a).addcmul_(b, back.unsqueeze(2), value=-1).mul_(nb)
    if gap is None:
        return dza, dzb, None
    return dza, dzb, (gap, za.new_zeros(columns.shape).scatter_add_(1, place, gap).neg_())
