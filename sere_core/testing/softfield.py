"""A smooth resonance field for losses that read one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sere_registry import Encoded, Resonance


class SoftField(nn.Module):
    """Each frame of a attends to the frames of b by softmax; S is the mean cosine of frames with what they attend to."""

    directed = True

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(1.0))

    def similarity(self, a: Encoded, b: Encoded) -> Tensor:
        """S of every pair, `[A, B]`."""
        with torch.no_grad():
            return torch.stack([torch.stack([self._pair(a, i, b, j)[0] for j in range(len(b))]) for i in range(len(a))])

    def aligned(self, a: Encoded, b: Encoded, picks: Tensor | None = None, *, both: bool = False) -> Resonance:
        """Row i of a with row `picks[i]` of b."""
        partners = range(len(b)) if picks is None else picks.tolist()
        pairs = [self._pair(a, i, b, j) for i, j in zip(range(len(a)), partners, strict=True)]
        similarity, aligned = (torch.stack(parts) for parts in zip(*pairs, strict=True))
        reverse = torch.stack([self._pair(b, j, a, i)[1] for i, j in enumerate(partners)]) if both else None
        return Resonance(similarity, aligned, reverse)

    def _pair(self, a: Encoded, i: int, b: Encoded, j: int) -> tuple[Tensor, Tensor]:
        left, right = (side.frames.values[row][side.frames.mask[row]] for side, row in ((a, i), (b, j)))
        attended = (self.sharpness * left @ right.T).softmax(dim=1) @ right
        return torch.cosine_similarity(left, attended, dim=1).mean(), attended.mean(dim=0)
