"""Equations 4 to 6 for chosen pairs of short utterances: all pairs in one product, one matrix for both ways.

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
class Pairs:
    """Who meets whom.

    Args:
        picks: `[P]`, the utterance of b that meets utterance i of a; None: utterance i.
        real, others: the real frames `[P, T_a]` of a, `[B, T_b]` of b.
        na, nb: 1 / |z| of their frames, 0 for a zero frame.
        ea, eb: burst strengths of their frames; None for a kernel without burst term.
        kernel: equation 4.
    """

    picks: Tensor | None
    real: Tensor
    others: Tensor
    na: Tensor
    nb: Tensor
    ea: Tensor | None
    eb: Tensor | None
    kernel: Kernel

    def met(self, of_b: Tensor) -> Tensor:
        """Something of each utterance of b, for each pair."""
        return of_b if self.picks is None else of_b.index_select(0, self.picks)

    def resonance(self, za: Tensor, zb: Tensor, part: slice) -> Tensor:
        """R of some of the pairs, -inf where b is padding, `[P, T_a, T_b]`."""
        scores = torch.bmm(za[part], zb[part].transpose(1, 2))
        scores.mul_(self.na[part].unsqueeze(2)).mul_(self.met(self.nb)[part].unsqueeze(1))
        if self.kernel.sync is not None and self.ea is not None and self.eb is not None:
            synchrony = self.kernel.synchrony(self.ea[part].unsqueeze(2) - self.met(self.eb)[part].unsqueeze(1))
            scores = scores.mul_(synchrony) if self.kernel.combine == "product" else scores.add_(synchrony)
        return scores.masked_fill_(~self.met(self.others)[part].unsqueeze(1), -torch.inf)

    def matched(self, za: Tensor, zb: Tensor, back: bool) -> tuple[Tensor, ...]:
        """max_j R_ij and its place `[P, T_a]`; the place of max_i R_ij `[P, T_b]`, if asked for.  The first of equals."""
        step = max(1, _TOGETHER // max(za.shape[1] * zb.shape[1], 1))
        found: list[tuple[Tensor, ...]] = []
        zb = self.met(zb)
        for first in range(0, len(za), step):
            part = slice(first, first + step)
            scores = self.resonance(za, zb, part)
            best, place = scores.max(dim=2)
            if back:
                scores.masked_fill_(~self.real[part].unsqueeze(2), -torch.inf)
                found.append((best, place, scores.max(dim=1).indices))
            else:
                found.append((best, place))
        return found[0] if len(found) == 1 else tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def exchange(za: Tensor, zb: Tensor, pairs: Pairs, back: bool) -> tuple[Tensor, Tensor | None]:
    """What a is told and (if asked for) what b is told `[P, D]`, differentiable in z.

    Args:
        za, zb: padded frames `[P, T_a, D]`, `[B, T_b, D]`; what stands in padding never matters.
    """
    return _Exchange.apply(za, zb, pairs, back)  # type: ignore[no-any-return, no-untyped-call]


def meet(za: Tensor, zb: Tensor, pairs: Pairs, shares: Tensor) -> tuple[Tensor, Tensor]:
    """S `[P]` and what a is told `[P, D]`, row i with row i, differentiable in z and e.

    Args:
        za, zb: padded frames `[P, T_a, D]`, `[P, T_b, D]`; what stands in padding never matters.
        shares: `[P, T_a]`, what each frame of a counts in equation 6, 0 in padding.
    """
    return _Meet.apply(za, zb, pairs.ea, pairs.eb, pairs, shares)  # type: ignore[no-any-return, no-untyped-call]


def _told(frames: Tensor, place: Tensor, real: Tensor, picks: Tensor | None) -> Tensor:
    """The mean of the frames at `place` `[P, T]`, over the `real` ones of them, `[P, D]`."""
    whose = torch.arange(len(place), device=place.device) if picks is None else picks
    at = (place + (whose * frames.shape[1]).unsqueeze(1))[real]
    counts = real.sum(dim=1)
    return embedding_bag(at, frames.flatten(0, 1), counts.cumsum(0) - counts, mode="mean")


def _teach(grad: Tensor, place: Tensor, real: Tensor, frames: int) -> Tensor:
    """The gradient of the frames `[P, T, D]` from that of what they told, row i to row i."""
    weights = real.to(grad.dtype) / real.sum(dim=1, keepdim=True)
    heard = grad.new_zeros(len(place), frames).scatter_add_(1, place, weights)
    return torch.bmm(heard.unsqueeze(2), grad.unsqueeze(1))


def _teach_picked(grad: Tensor, place: Tensor, pairs: Pairs, shape: torch.Size) -> Tensor:
    """The gradient of the frames of b, of `shape` `[B, T_b, D]`, from that of what a is told."""
    if pairs.picks is None:
        return _teach(grad, place, pairs.real, shape[1])
    weights = pairs.real.to(grad.dtype) / pairs.real.sum(dim=1, keepdim=True)
    cell = place + (pairs.picks * shape[1]).unsqueeze(1)
    heard = grad.new_zeros(len(place), shape[0] * shape[1]).scatter_add_(1, cell, weights)
    return (heard.T @ grad).view(shape)


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, za: Tensor, zb: Tensor, pairs: Pairs, back: bool) -> Any:
        _, *places = pairs.matched(za, zb, back)
        ctx.pairs, ctx.shapes = pairs, (za.shape, zb.shape)
        ctx.save_for_backward(*places)
        ctx.set_materialize_grads(False)
        told = _told(zb, places[0], pairs.real, pairs.picks)
        return told, _told(za, places[1], pairs.met(pairs.others), None) if back else None

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor | None, grad_back: Tensor | None) -> Any:
        pairs, places = ctx.pairs, ctx.saved_tensors
        dza = None if grad_back is None else _teach(grad_back, places[1], pairs.met(pairs.others), ctx.shapes[0][1])
        dzb = None if grad is None else _teach_picked(grad, places[0], pairs, ctx.shapes[1])
        return dza, dzb, None, None


class _Meet(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, za: Tensor, zb: Tensor, ea: Tensor | None, eb: Tensor | None, pairs: Pairs, shares: Tensor) -> Any:
        best, place = pairs.matched(za, zb, back=False)
        best.masked_fill_(~pairs.real, 0.0)
        ctx.pairs = pairs
        ctx.save_for_backward(za, zb, ea, eb, shares, best, place)
        ctx.set_materialize_grads(False)
        return (best * shares).sum(dim=1), _told(zb, place, pairs.real, None)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_similarity: Tensor | None, grad_told: Tensor | None) -> Any:
        pairs = ctx.pairs
        za, zb, ea, eb, shares, best, place = ctx.saved_tensors
        dza = dea = deb = None
        dzb = None if grad_told is None else _teach(grad_told, place, pairs.real, zb.shape[1])
        if grad_similarity is not None:
            matched = None if eb is None else eb.gather(1, place)
            pull, along, gap = local(grad_similarity.unsqueeze(1) * shares, best, ea, matched, pairs.kernel)
            na, nb = pairs.na.masked_fill(~pairs.real, 0.0).unsqueeze(2), pairs.nb.masked_fill(~pairs.others, 0.0).unsqueeze(2)
            a = za.masked_fill(~pairs.real.unsqueeze(2), 0.0) * na
            b = zb.masked_fill(~pairs.others.unsqueeze(2), 0.0) * nb
            pulls = za.new_zeros(len(za), za.shape[1], zb.shape[1]).scatter_(2, place.unsqueeze(2), pull.unsqueeze(2))
            back = za.new_zeros(len(zb), zb.shape[1]).scatter_add_(1, place, along)
            dza = torch.bmm(pulls, b).addcmul_(a, along.unsqueeze(2), value=-1).mul_(na)
            more = torch.bmm(pulls.transpose(1, 2), a).addcmul_(b, back.unsqueeze(2), value=-1).mul_(nb)
            dzb = more if dzb is None else dzb.add_(more)
            if gap is not None and eb is not None:
                dea, deb = gap, torch.zeros_like(eb).scatter_add_(1, place, gap).neg_()
        return dza, dzb, dea, deb, None, None
