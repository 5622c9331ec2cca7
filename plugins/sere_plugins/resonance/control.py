"""IRF's negative control: everything as in `irf`, but each frame of a is told another frame of b than the one that resonates.

What remains of a method's score under it is not due to resonance between frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sere_plugins.resonance.irf import Irf
from sere_plugins.resonance.pairwise import best, frame_map, pairwise, same_width
from sere_plugins.specs.resonance import IrfParams
from sere_registry import BuildContext, Encoded, Resonance
from sere_registry.batches import FrameMap


class ShuffledIrf(Irf):
    """j*(i) goes through a random permutation of b's frames that leaves none in place; S and zt are read at what comes out.

    There is one permutation for each number of frames, the same in every run; a single frame stays where it is.
    """

    def forward(self, a: Encoded, b: Encoded) -> Resonance:
        """Every pair: S `[A, B]` and zt `[A, B, D]`; differentiable."""
        return Resonance(*self._wrong(a, b, aligned=False))

    def similarity(self, a: Encoded, b: Encoded) -> Tensor:
        """S of every pair, `[A, B]`."""
        return self._wrong(a, b, aligned=False)[0]

    def aligned(self, a: Encoded, b: Encoded) -> Resonance:
        """Row i of a with row i of b: S `[P]` and zt `[P, D]`; differentiable."""
        return Resonance(*self._wrong(a, b, aligned=True))

    def frame_map(self, a: Encoded, b: Encoded) -> FrameMap:
        """R and the frames that are told, of the first utterance of a and the first of b."""
        same_width(a, b)
        return frame_map(self.side(a.take([0])), self.side(b.take([0])), self.kernel, _shuffled)

    def _wrong(self, a: Encoded, b: Encoded, aligned: bool) -> tuple[Tensor, Tensor]:
        same_width(a, b, aligned)
        with torch.autocast(a.frames.values.device.type, enabled=False):
            similarity, told = pairwise(self.side(a), self.side(b), self.kernel, _shuffled, aligned=aligned, told=True)
        assert told is not None
        return similarity, told


def _shuffled(scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    heard = best(scores, rows, columns)
    order = torch.arange(columns.shape[1], device=scores.device).repeat(len(columns), 1)
    lengths = columns.sum(dim=1)
    for length in sorted(set(lengths.tolist())):
        order[lengths == length, :length] = _permutation(length).to(scores.device)
    return heard.gather(2, order.unsqueeze(1).expand_as(heard))


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
