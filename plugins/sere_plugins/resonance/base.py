"""What fields over frames share: pack the real frames, resonate, return in the caller's shapes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sere_plugins.resonance import pairwise
from sere_plugins.resonance.kernel import Kernel
from sere_plugins.resonance.known import full_precision, known, needs_gradient
from sere_plugins.resonance.packing import Layout, layout
from sere_plugins.resonance.recipe import Recipe
from sere_plugins.resonance.resonate import by_utterance, resonate
from sere_plugins.resonance.search import Plan
from sere_plugins.resonance.short import SHORT, Pairs, exchange, meet
from sere_plugins.resonance.strongest import strongest
from sere_registry import Encoded, Resonance, error
from sere_registry.batches import FrameMap


@dataclass(frozen=True)
class Side:
    """One side of a field: packed frames z `[N, D]`, burst strengths e `[B, T]` and packed `[N]`, or None, and where they stand."""

    frames: Tensor
    strength: Tensor | None
    packed: Tensor | None
    layout: Layout


class FrameField(nn.Module):
    """A directed field over frames: best match for each frame of a, mean resonance over a's highlights.

    By itself it has no burst term and every frame is a highlight; a subclass changes `kernel`, `strength` and `highlights`.
    """

    directed = True
    kernel = Kernel()

    def strength(self, batch: Encoded) -> Tensor | None:
        """e `[B, T]`, equation 3; None where there is no burst term."""
        return None

    def highlights(self, strength: Tensor | None, mask: Tensor) -> Tensor:
        """H, equation 6: `[B, T]` bool within the mask, at least one frame of every utterance."""
        return mask

    def forward(self, a: Encoded, b: Encoded) -> Resonance:
        """Every pair of a and b: S `[A, B]` and zt_{a<-b} `[A, B, D]`, equations 3 to 6; differentiable."""
        similarity, told = self._resonate(a, b, aligned=False, told=True)
        assert told is not None
        return Resonance(similarity, told)

    def similarity(self, a: Encoded, b: Encoded) -> Tensor:
        """S of every pair, `[A, B]`; without gradient it costs the search alone."""
        if torch.is_grad_enabled() and needs_gradient(a.frames.values, b.frames.values, a.bursts, b.bursts, *self.parameters()):
            return self._resonate(a, b, aligned=False, told=False)[0]
        return self._search(a, b)

    def aligned(self, a: Encoded, b: Encoded) -> Resonance:
        """Row i of a with row i of b: S `[P]` and zt `[P, D]`; differentiable.

        Raises:
            SereError: B402 if the batches differ in size.
        """
        if len(a) != len(b):
            raise error("B402", f"a field was asked to align {len(a)} utterances with {len(b)}")
        if self._short(a, b):
            return self._meet(a, b)
        similarity, told = self._resonate(a, b, aligned=True, told=True)
        assert told is not None
        return Resonance(similarity.squeeze(1), told.squeeze(1))

    def exchange(self, a: Encoded, b: Encoded, picks: Tensor, *, back: bool) -> tuple[Tensor, Tensor | None]:
        """What row i of a is told by row `picks[i]` of b, and (`back`) the latter by the former, `[P, D]`; differentiable.

        What two calls of `aligned` say, for less: b's utterances are not copied, and both ways share one matrix.
        """
        if self._short(a, b) and type(self).aligned is FrameField.aligned:
            pairwise.same_width(a, b)
            with full_precision(a.frames.values):
                ours, theirs = known(a.frames), known(b.frames)
                ea, eb = ours.strength(a, self), theirs.strength(b, self)
                pairs = Pairs(picks, a.frames.mask, b.frames.mask, ours.norms, theirs.norms, ea, eb, self.kernel)
                wide = ours.norms.dtype
                return exchange(a.frames.values.to(wide), b.frames.values.to(wide), pairs, back)
        met = b.take(picks)
        return self.aligned(a, met).told, self.aligned(met, a).told if back else None

    def side(self, batch: Encoded) -> pairwise.Side:
        """One side with its padding, for what needs whole matrices."""
        strength = self.strength(batch)
        return pairwise.Side.of(batch.frames, strength, self.highlights(None if strength is None else strength.detach(), batch.frames.mask))

    def frame_map(self, a: Encoded, b: Encoded) -> FrameMap:
        """R and j* between the frames of the first utterance of a and those of the first of b; costs T_a x T_b memory."""
        pairwise.same_width(a, b)
        return pairwise.frame_map(self.side(a.take([0])), self.side(b.take([0])), self.kernel, pairwise.best)

    def _short(self, a: Encoded, b: Encoded) -> bool:
        return len(a) > 0 and len(b) > 0 and a.frames.mask.shape[1] * b.frames.mask.shape[1] <= SHORT

    def _meet(self, a: Encoded, b: Encoded) -> Resonance:
        """`aligned` for short pairs."""
        pairwise.same_width(a, b)
        with full_precision(a.frames.values):
            ours, theirs = known(a.frames), known(b.frames)
            wide = ours.norms.dtype
            ea, eb = (None if e is None else e.to(wide) for e in (self.strength(a), self.strength(b)))
            pairs = Pairs(None, a.frames.mask, b.frames.mask, ours.norms, theirs.norms, ea, eb, self.kernel)
            shares = self._shares(ea, a.frames.mask, wide)
            return Resonance(*meet(a.frames.values.to(wide), b.frames.values.to(wide), pairs, shares))

    def _shares(self, strength: Tensor | None, mask: Tensor, dtype: torch.dtype) -> Tensor:
        """What each frame counts in equation 6, `[B, T]`."""
        chosen = self.highlights(None if strength is None else strength.detach(), mask)
        return chosen.to(dtype) / chosen.sum(dim=1, keepdim=True).clamp(min=1)

    def _resonate(self, a: Encoded, b: Encoded, aligned: bool, told: bool) -> tuple[Tensor, Tensor | None]:
        pairwise.same_width(a, b)
        # argmax over bfloat16 products would be decided by rounding
        with full_precision(a.frames.values):
            left, right = self._side(a), self._side(b)
            shares = left.layout.pack(self._shares(left.strength, a.frames.mask, left.frames.dtype))
            recipe = Recipe(Plan(left.layout, right.layout, aligned), self.kernel, shares, told)
            return resonate(left.frames, right.frames, left.packed, right.packed, recipe)

    def _search(self, a: Encoded, b: Encoded) -> Tensor:
        """S without gradient: of a the highlights alone are searched, since nothing else of it counts in equation 6."""
        pairwise.same_width(a, b)
        with full_precision(a.frames.values):
            left, right = known(a.frames), known(b.frames)
            ea, eb = left.strength(a, self), right.strength(b, self)
            chosen = self.highlights(ea, a.frames.mask)
            where, columns = layout(chosen), right.layout.grouping
            if ea is not None and eb is not None:
                ea, eb = where.pack(ea), eb.flatten().index_select(0, columns.rows)
            best = strongest(left.units(a.frames, where.slots), right.grouped(b.frames), ea, eb, columns, self.kernel)
            return by_utterance(best, where, best.new_tensor(where.lengths).reciprocal()[where.owner])

    def _side(self, batch: Encoded) -> Side:
        where = layout(batch.frames.mask)
        wide = torch.promote_types(batch.frames.values.dtype, torch.float32)
        strength = self.strength(batch)
        strength = None if strength is None else strength.to(wide)
        return Side(where.pack(batch.frames.values.to(wide)), strength, None if strength is None else where.pack(strength), where)
