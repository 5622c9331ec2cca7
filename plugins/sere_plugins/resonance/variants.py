"""Two variants of `irf` that are ours, not the paper's: burst strengths in units of the utterance, and a
negative control."""

from __future__ import annotations

import torch
from torch import Tensor

from sere_plugins.resonance.base import FrameField
from sere_plugins.resonance.irf import Irf
from sere_plugins.specs.resonance import IrfParams
from sere_registry import BuildContext, Encoded, Resonance


class AdaptiveIrf(Irf):
    """`irf` on standardised strengths; an utterance whose strength never changes has e' = 0 everywhere.

        e'_t = (e_t - mean_t e_t) / std_t e_t                        (A1) over real frames; takes the place of e in (4)

    In equation 4 one tau serves every pair.  Where the strengths of two languages or speakers differ in level
    or spread, the synchrony of all their frames is near 0 and the field is silent.  With (A1) bursts match
    however strong either is: that is equation 4 with a level and a tau of each utterance's own.  (6) is as
    before: what is above the mean still is.
    """

    def strength(self, bursts: Tensor, mask: Tensor) -> Tensor | None:
        """e' `[B, T]`."""
        strength = super().strength(bursts, mask)
        if strength is None:
            return None
        count = mask.sum(dim=1, keepdim=True).clamp(min=1)
        centred = (strength - strength.sum(dim=1, keepdim=True) / count) * mask
        variance = centred.square().sum(dim=1, keepdim=True) / count
        # relative to the level: what rounding leaves of a constant is no spread
        floor = 1e-6 * strength.detach().abs().amax(dim=1, keepdim=True)
        still = variance <= floor.square()
        return (centred / variance.masked_fill(still, 1.0).sqrt()).masked_fill(still, 0.0)


class ShuffledIrf(Irf):
    """`irf` with wrong matches: j*(i) goes through a random permutation of b's frames that leaves none in place.

    What remains of a method's score under it is not due to resonance between frames.  There is one
    permutation for each number of frames, the same in every run; a single frame stays where it is.
    """

    def alignment(self, scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        right = super().alignment(scores, rows, columns)
        order = torch.arange(columns.shape[1], device=scores.device).repeat(len(columns), 1)
        lengths = columns.sum(dim=1)
        for length in set(lengths.tolist()):
            order[lengths == length, :length] = _permutation(length).to(scores.device)
        return right.gather(2, order.unsqueeze(1).expand_as(right))

    def similarity(self, a: Encoded, b: Encoded) -> Tensor:
        """S of every pair, `[A, B]`, without gradient."""
        self.note(a, b)
        return FrameField.similarity(self, a, b)

    def aligned(self, a: Encoded, b: Encoded, picks: Tensor | None = None, *, both: bool = False) -> Resonance:
        """Row i of a with row `picks[i]` of b, differentiable."""
        return FrameField.aligned(self, a, b, picks, both=both)


def _permutation(length: int) -> Tensor:
    """One cycle through all places: nothing stays where it is.

    >>> _permutation(2).tolist()
    [1, 0]
    """
    cycle = torch.randperm(length, generator=torch.Generator().manual_seed(length))
    return torch.empty_like(cycle).scatter_(0, cycle, cycle.roll(1))


def build(params: IrfParams, context: BuildContext) -> Irf:
    """The field, or its control."""
    return Irf(params, context) if params.control == "none" else ShuffledIrf(params, context)
