"""An undirected field: frames look for their best match on both sides."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sere_registry import BuildContext, Encoded, NoParams, Resonance


class Chamfer(nn.Module):
    """S(a, b) = (mean over frames of a of the best cosine with b + the same with a and b exchanged) / 2."""

    directed = False

    def __init__(self, params: NoParams, context: BuildContext) -> None:
        super().__init__()

    def forward(self, a: Encoded, b: Encoded) -> Resonance:
        """Every pair: similarity `[A, B]`, and the mean of the frames of b that a's frames chose, `[A, B, D]`."""
        rows = [[self._pair(a, i, b, j) for j in range(len(b))] for i in range(len(a))]
        similarity = torch.stack([torch.stack([pair[0] for pair in row]) for row in rows])
        return Resonance(similarity, torch.stack([torch.stack([pair[1] for pair in row]) for row in rows]))

    def similarity(self, a: Encoded, b: Encoded) -> Tensor:
        """Every pair's similarity alone, `[A, B]`."""
        return self.forward(a, b).similarity

    def aligned(self, a: Encoded, b: Encoded) -> Resonance:
        """Row i of a with row i of b."""
        pairs = [self._pair(a, row, b, row) for row in range(len(a))]
        return Resonance(torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs]))

    def _pair(self, a: Encoded, i: int, b: Encoded, j: int) -> tuple[Tensor, Tensor]:
        """The mask comes first: what stands in padded frames is never looked at."""
        left, right = (side.frames.values[row][side.frames.mask[row]] for side, row in ((a, i), (b, j)))
        cosines = nn.functional.normalize(left, dim=1) @ nn.functional.normalize(right, dim=1).T
        best, chosen = cosines.max(dim=1)
        return (best.mean() + cosines.amax(dim=0).mean()) / 2, right[chosen].mean(dim=0)
