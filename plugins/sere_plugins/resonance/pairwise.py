"""Fields that weigh every frame of b for every frame of a: the whole matrix of a pair, for as many pairs at a time as fit.

    S(a, b)      = sum_i shares_i sum_j heard_ij R_ij        shares: what each frame of a counts, they sum to 1
    told(a <- b) = mean_i sum_j heard_ij z_j^b               heard: how frame i hears b, each row sums to 1

Equations 5 and 6 of SERE (arXiv 2604.07417) are the case in which each row of `heard` is a single 1.  The search of `irf` never
keeps such a matrix; what softens, orders or balances the matches has to.  With gradient, each block is computed
again in the backward pass, so that what is kept still grows with T.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sere_plugins.resonance.kernel import Kernel
from sere_registry import Encoded, Frames, Resonance, error
from sere_registry.batches import FrameMap

#: (R `[P, T_a, T_b]`, real frames of a `[P, T_a]`, of b `[P, T_b]`) -> heard `[P, T_a, T_b]`; what it says of padding is ignored
Hear = Callable[[Tensor, Tensor, Tensor], Tensor]

#: frame pairs in a block
_BLOCK = 1 << 21


@dataclass(frozen=True)
class Side:
    """One side: z `[B, T, D]`, real frames `[B, T]` (first in every row), what each counts `[B, T]`, burst strengths `[B, T]` or None."""

    frames: Tensor
    mask: Tensor
    shares: Tensor
    strength: Tensor | None

    @classmethod
    def of(cls, given: Frames, strength: Tensor | None = None, highlights: Tensor | None = None) -> Side:
        """The side with its real frames moved to the front, zeros behind them; `highlights` `[B, T]`: all real frames."""
        wide = torch.promote_types(given.values.dtype, torch.float32)
        longest = max(given.mask.sum(dim=1).tolist(), default=0)
        order = (~given.mask).to(torch.uint8).argsort(dim=1, stable=True)[:, :longest]
        mask = given.mask.gather(1, order)
        chosen = mask if highlights is None else highlights.gather(1, order)
        values = given.values.to(wide).gather(1, order.unsqueeze(-1).expand(-1, -1, given.values.shape[-1]))
        shares = chosen.to(wide) / chosen.sum(dim=1, keepdim=True)
        packed = None if strength is None else strength.to(wide).gather(1, order).masked_fill(~mask, 0.0)
        return cls(values.masked_fill(~mask.unsqueeze(-1), 0.0), mask, shares, packed)

    def rows(self, part: slice, frames: int | None = None) -> Side:
        """The utterances `part`, cut after `frames` frames."""
        strength = None if self.strength is None else self.strength[part, :frames]
        return Side(self.frames[part, :frames], self.mask[part, :frames], self.shares[part, :frames], strength)


def resonance(a: Side, b: Side, kernel: Kernel, aligned: bool = True) -> Tensor:
    """R of rows of a with rows of b, equation 4, `[P, T_a, T_b]`; or of every pair, those of a's first row first."""
    left, right = unit(a.frames), unit(b.frames)
    if aligned:
        scores = left @ right.transpose(1, 2)
    else:
        shape = (len(left), left.shape[1], len(right), right.shape[1])
        scores = (left.flatten(0, 1) @ right.flatten(0, 1).T).view(shape).transpose(1, 2).flatten(0, 1)
    if kernel.sync is None or a.strength is None or b.strength is None:
        return scores
    ea, eb = _paired(a.strength, b.strength, aligned)
    synchrony = kernel.synchrony(ea.unsqueeze(2) - eb.unsqueeze(1))
    return scores * synchrony if kernel.combine == "product" else scores + synchrony


def best(scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Equation 5's matches: a single 1 in each row, at the first of the best frames."""
    top = scores.detach().masked_fill(~columns.unsqueeze(1), -torch.inf).argmax(dim=2, keepdim=True)
    return torch.zeros_like(scores).scatter_(2, top, 1.0)


def pairwise(a: Side, b: Side, kernel: Kernel, hear: Hear, *, aligned: bool, told: bool) -> tuple[Tensor, Tensor | None]:
    """S and what is told, of every pair (`[A, B]`, `[A, B, D]`) or of rows (`[P]`, `[P, D]`)."""

    def block(left: Side, right: Side) -> tuple[Tensor, ...]:
        def work(za: Tensor, zb: Tensor, ea: Tensor | None, eb: Tensor | None) -> tuple[Tensor, ...]:
            one, other = Side(za, left.mask, left.shares, ea), Side(zb, right.mask, right.shares, eb)
            return _block(one, other, kernel, hear, aligned, told)

        tensors = (left.frames, right.frames, left.strength, right.strength)
        if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
            return checkpoint(work, *tensors, use_reentrant=False, preserve_rng_state=False)  # type: ignore[no-any-return]
        return work(*tensors)

    size, others, width = len(a.mask), len(b.mask), a.frames.shape[-1]
    if not size or not others:
        shape = (size,) if aligned else (size, others)
        return a.frames.new_zeros(shape), a.frames.new_zeros(*shape, width) if told else None
    frame_pairs = a.mask.shape[1] * b.mask.shape[1]
    if aligned:
        found = _joined([block(a.rows(part), b.rows(part)) for part in _parts(size, frame_pairs)], dim=0)
    else:
        columns = _parts(others, frame_pairs * size)
        wide = min(others, columns[0].stop)
        rows = _parts(size, frame_pairs * wide)
        found = _joined([_joined([block(a.rows(row), b.rows(column)) for row in rows], dim=0) for column in columns], dim=1)
    return found[0], found[1] if told else None


def _parts(size: int, frame_pairs: int) -> list[slice]:
    """`size` utterances, each with so many pairs of frames, in blocks."""
    step = max(1, _BLOCK // frame_pairs)
    return [slice(first, first + step) for first in range(0, size, step)]


def _joined(pieces: Sequence[tuple[Tensor, ...]], dim: int) -> tuple[Tensor, ...]:
    return tuple(torch.cat(column, dim=dim) for column in zip(*pieces, strict=True))


def _paired(a: Tensor, b: Tensor, aligned: bool) -> tuple[Tensor, Tensor]:
    """`[A, T_a]` and `[B, T_b]` -> the same for each pair, `[P, T_a]` and `[P, T_b]`."""
    return (a, b) if aligned else (a.repeat_interleave(len(b), dim=0), b.repeat(len(a), 1))


def _block(a: Side, b: Side, kernel: Kernel, hear: Hear, aligned: bool, told: bool) -> tuple[Tensor, ...]:
    scores = resonance(a, b, kernel, aligned)
    rows, columns = _paired(a.mask, b.mask, aligned)
    shares, _ = _paired(a.shares, b.shares, aligned)
    heard = hear(scores, rows, columns).masked_fill(~(rows.unsqueeze(2) & columns.unsqueeze(1)), 0.0)
    shape = (len(a.mask),) if aligned else (len(a.mask), len(b.mask))
    similarity = ((heard * scores).sum(dim=2) * shares).sum(dim=1).view(shape)
    if not told:
        return (similarity,)
    weights = (heard.sum(dim=1) / rows.sum(dim=1, keepdim=True)).view(*shape, -1)
    return similarity, torch.einsum("pt,ptd->pd" if aligned else "abt,btd->abd", weights, b.frames)


def frame_map(a: Side, b: Side, kernel: Kernel, hear: Hear) -> FrameMap:
    """What a field sees between the first utterance of a and the first of b."""
    with torch.no_grad():
        left, right = (side.rows(slice(0, 1), int(side.mask[0].sum())) for side in (a, b))
        scores = resonance(left, right, kernel)
        strengths = [None if side.strength is None else side.strength[0] for side in (left, right)]
        return FrameMap(scores[0], hear(scores, left.mask, right.mask)[0], left.shares[0], *strengths)


def same_width(a: Encoded, b: Encoded, aligned: bool = False) -> None:
    """Can these be compared?

    Raises:
        SereError: B402.
    """
    left, right = a.frames.values.shape[-1], b.frames.values.shape[-1]
    if left != right:
        raise error("B402", f"a field was asked to compare frames of width {left} with frames of width {right}")
    if aligned and len(a) != len(b):
        raise error("B402", f"a field was asked to align {len(a)} utterances with {len(b)}")


class PairwiseField(nn.Module):
    """A directed field over frame cosines, in which all frames of a count alike; a subclass says how they hear b's."""

    directed = True
    kernel = Kernel()

    def hear(self, scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """heard `[P, T_a, T_b]`; see `Hear`."""
        return best(scores, rows, columns)

    def side(self, batch: Encoded) -> Side:
        """z, and what counts."""
        return Side.of(batch.frames)

    def forward(self, a: Encoded, b: Encoded) -> Resonance:
        """Every pair: S `[A, B]` and told `[A, B, D]`; differentiable."""
        similarity, told = self._ask(a, b, aligned=False, told=True)
        assert told is not None
        return Resonance(similarity, told)

    def similarity(self, a: Encoded, b: Encoded) -> Tensor:
        """S of every pair, `[A, B]`."""
        return self._ask(a, b, aligned=False, told=False)[0]

    def aligned(self, a: Encoded, b: Encoded) -> Resonance:
        """Row i of a with row i of b: S `[P]` and told `[P, D]`; differentiable.

        Raises:
            SereError: B402 if the batches differ in size.
        """
        similarity, told = self._ask(a, b, aligned=True, told=True)
        assert told is not None
        return Resonance(similarity, told)

    def frame_map(self, a: Encoded, b: Encoded) -> FrameMap:
        """R and its matches between the frames of the first utterance of a and those of the first of b."""
        same_width(a, b)
        return frame_map(self.side(a.take([0])), self.side(b.take([0])), self.kernel, self.hear)

    def _ask(self, a: Encoded, b: Encoded, aligned: bool, told: bool) -> tuple[Tensor, Tensor | None]:
        same_width(a, b, aligned)
        with torch.autocast(a.frames.values.device.type, enabled=False):
            return pairwise(self.side(a), self.side(b), self.kernel, self.hear, aligned=aligned, told=told)


def unit(rows: Tensor) -> Tensor:
    """`[..., D]` at length 1; a zero row stays one and gets gradient 0, as in the search: it has no direction."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return rows / norms.masked_fill(norms == 0, torch.inf)
