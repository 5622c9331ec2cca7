"""What fields over frames share: pairs of utterances compared by whole matrices of frames, a few pairs at a time.

    S(a, b)          = sum_i w_i sum_j A_ij R_ij        w: the weights of a's frames, they sum to 1
    zt_{a<-b}        = mean_i sum_j A_ij z_j^b          A: the alignment, each row sums to 1

Equations 5 and 6 of SERE (arXiv 2604.07417) are the case in which each row of A is a single 1; `irf` has a
search of its own for it that never keeps a whole matrix.  Here each block of pairs is computed again in the
backward pass, so that what is kept grows with T.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sere_core.functional import unit_rows
from sere_registry import Encoded, Resonance, error
from sere_registry.batches import FrameMap

#: frame pairs in a block
_BLOCK = 1 << 21


@dataclass(frozen=True)
class Side:
    """Utterances with their real frames first: z `[B, T, D]`, which are real `[B, T]`, their weights in S and
    e `[B, T]` (or None)."""

    frames: Tensor
    real: Tensor
    weights: Tensor
    strength: Tensor | None

    def take(self, rows: Tensor) -> Side:
        """The utterances at `rows`."""
        strength = None if self.strength is None else self.strength[rows]
        return Side(self.frames[rows], self.real[rows], self.weights[rows], strength)


class FrameField(nn.Module):
    """A directed field over frames; by itself R is the cosine, the best match is the alignment and all frames
    of a weigh alike."""

    directed = True

    def strength(self, bursts: Tensor, mask: Tensor) -> Tensor | None:
        """e `[B, T]` of d `[B, T, K]`, equation 3, 0 in padding; None where there is no burst term."""
        return None

    def highlights(self, strength: Tensor | None, mask: Tensor) -> Tensor:
        """H of equation 6: `[B, T]` bool within the mask, at least one frame of every utterance."""
        return mask

    def resonance(self, cosine: Tensor, gap: Tensor | None) -> Tensor:
        """R, equation 4, from cosines and gaps e_i - e_j of the same shape; both may be overwritten."""
        return cosine

    def alignment(self, scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """A `[P, T_a, T_b]` from R, for real frames `[P, T_a]` of a and `[P, T_b]` of b; its values in
        padding are ignored."""
        top = scores.detach().masked_fill(~columns.unsqueeze(1), -torch.inf).argmax(dim=2, keepdim=True)
        return torch.zeros_like(scores).scatter_(2, top, 1.0)

    def similarity(self, a: Encoded, b: Encoded) -> Tensor:
        """S of every pair, `[A, B]`, without gradient."""
        first, second = (torch.arange(len(side), device=side.frames.values.device) for side in (a, b))
        with torch.no_grad():
            every = first.repeat_interleave(len(b)), second.repeat(len(a))
            return self._in_blocks(a, b, *every, both=False).similarity.view(len(a), len(b))

    def aligned(self, a: Encoded, b: Encoded, picks: Tensor | None = None, *, both: bool = False) -> Resonance:
        """Row i of a with row `picks[i]` of b, differentiable; see `ResonanceField.aligned`."""
        return self._in_blocks(a, b, torch.arange(len(a), device=a.frames.values.device), partners(a, b, picks), both)

    def frame_map(self, a: Encoded, b: Encoded) -> FrameMap | None:
        """R and its alignment between the real frames of the first utterance of a and those of the first of
        b."""
        check_widths(a, b)
        with torch.no_grad(), full_precision(a):
            left, right = self._side(a.take([0])), self._side(b.take([0]))
            scores = self._scores(left, right)
            strengths = (None if side.strength is None else side.strength[0] for side in (left, right))
            return FrameMap(scores[0], self.alignment(scores, left.real, right.real)[0], left.weights[0], *strengths)

    def diagnostics(self) -> Mapping[str, float]:
        """Numbers about the last step."""
        return {}

    def frame_weights(self, strength: Tensor | None, mask: Tensor, dtype: torch.dtype) -> Tensor:
        """What each frame counts in S, `[B, T]`: 1 / |H| of a highlight, else 0."""
        chosen = self.highlights(None if strength is None else strength.detach(), mask)
        return chosen.to(dtype) / chosen.sum(dim=1, keepdim=True).clamp(min=1)

    def _side(self, batch: Encoded) -> Side:
        mask, values = batch.frames.mask, batch.frames.values
        wide, longest = wide_type(values), int(mask.sum(dim=1).max()) if len(mask) else 1
        order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)[:, :longest]
        real = mask.gather(1, order)
        frames = values.to(wide).gather(1, order.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
        strength = self.strength(batch.bursts, mask)
        weights = self.frame_weights(strength, mask, wide).gather(1, order)
        strength = None if strength is None else strength.to(wide).gather(1, order)
        return Side(frames.masked_fill(~real.unsqueeze(-1), 0.0), real, weights, strength)

    def _scores(self, a: Side, b: Side) -> Tensor:
        """R of row i with row i, `[P, T_a, T_b]`."""
        gap = None if a.strength is None or b.strength is None else a.strength.unsqueeze(2) - b.strength.unsqueeze(1)
        return self.resonance(unit_rows(a.frames) @ unit_rows(b.frames).transpose(1, 2), gap)

    def _in_blocks(self, a: Encoded, b: Encoded, rows: Tensor, picks: Tensor, both: bool) -> Resonance:
        """Row `rows[i]` of a with row `picks[i]` of b."""
        check_widths(a, b)
        with full_precision(a):
            left, right = self._side(a), self._side(b)
            step = max(1, _BLOCK // max(left.real.shape[1] * right.real.shape[1], 1))
            blocks = [
                checkpoint(self._block, left, right, *part, both, use_reentrant=False, preserve_rng_state=False)
                for part in zip(torch.split(rows, step), torch.split(picks, step), strict=True)
            ]
            similarity, aligned, *reverse = (torch.cat(parts) for parts in zip(*blocks, strict=True))
            return Resonance(similarity, aligned, *reverse)

    def _block(self, a: Side, b: Side, rows: Tensor, picks: Tensor, both: bool) -> tuple[Tensor, ...]:
        a, b = a.take(rows), b.take(picks)
        scores, real = self._scores(a, b), a.real.unsqueeze(2) & b.real.unsqueeze(1)
        forth = self.alignment(scores, a.real, b.real).masked_fill(~real, 0.0)
        found = ((forth * scores).sum(dim=2) * a.weights).sum(dim=1), _mean(forth, b.frames, a.real)
        if not both:
            return found
        scores, real = scores.transpose(1, 2), real.transpose(1, 2)
        return *found, _mean(self.alignment(scores, b.real, a.real).masked_fill(~real, 0.0), a.frames, b.real)


def _mean(alignment: Tensor, frames: Tensor, real: Tensor) -> Tensor:
    """mean_i sum_j A_ij z_j over real i, `[P, D]`."""
    weights = alignment.sum(dim=1) / real.sum(dim=1, keepdim=True)
    return torch.einsum("pt,ptd->pd", weights, frames)


def check_widths(a: Encoded, b: Encoded) -> None:
    """Raises:
    SereError: B402 if the frames of a and b have different widths.
    """
    left, right = a.frames.values.shape[-1], b.frames.values.shape[-1]
    if left != right:
        raise error("B402", f"a resonance field cannot compare frames of width {left} with frames of width {right}")


def partners(a: Encoded, b: Encoded, picks: Tensor | None) -> Tensor:
    """The row of b for each row of a, `[P]` long.

    Raises:
        SereError: B402 if there is not one for each, or if widths differ.
    """
    check_widths(a, b)
    found = torch.arange(len(b), device=b.frames.values.device) if picks is None else picks
    if len(found) != len(a):
        raise error("B402", f"a resonance field cannot align {len(a)} utterances with {len(found)}")
    return found


def full_precision(batch: Encoded) -> torch.autocast:
    """No autocast: the best of bfloat16 products would be decided by rounding."""
    return torch.autocast(batch.frames.values.device.type, enabled=False)


def wide_type(values: Tensor) -> torch.dtype:
    """At least float32."""
    return torch.promote_types(values.dtype, torch.float32)
