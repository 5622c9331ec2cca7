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

    def similarity(self, a: Encoded, b: Encoded) -> Tensor:
        """S of every pair, `[A, B]`, without gradient."""
        with torch.no_grad():
            return torch.stack([torch.stack([self._pair(a, i, b, j)[0] for j in range(len(b))]) for i in range(len(a))])

    def aligned(self, a: Encoded, b: Encoded, picks: Tensor | None = None, *, both: bool = False) -> Resonance:
        """Row i of a with row `picks[i]` of b: S `[P]`, and the mean of the frames of b that a's frames chose, `[P, D]`."""
        partners = range(len(b)) if picks is None else picks.tolist()
        pairs = [self._pair(a, i, b, j) for i, j in zip(range(len(a)), partners, strict=True)]
        similarity, aligned = (torch.stack(parts) for parts in zip(*pairs, strict=True))
        reverse = torch.stack([self._pair(b, j, a, i)[1] for i, j in enumerate(partners)]) if both else None
        return Resonance(similarity, aligned, reverse)

    def _pair(self, a: Encoded, i: int, b: Encoded, j: int) -> tuple[Tensor, Tensor]:
        """The mask comes first: what stands in padded frames is never looked at."""
        left, right = (side.frames.values[row][side.frames.mask[row]] for side, row in ((a, i), (b, j)))
        cosines = nn.functional.normalize(left, dim=1) @ nn.functional.normalize(right, dim=1).T
        best, chosen = cosines.max(dim=1)
        return (best.mean() + cosines.amax(dim=0).mean()) / 2, right[chosen].mean(dim=0)
