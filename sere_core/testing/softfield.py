"""A smooth resonance field for losses that read one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sere_registry import Encoded, Resonance


class SoftField(nn.Module):
    """Each frame of a attends to the frames of b by softmax; S is the mean cosine of frames with what they are told."""

    directed = True

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(1.0))

    def forward(self, a: Encoded, b: Encoded) -> Resonance:
        rows = [[self._pair(a, i, b, j) for j in range(len(b))] for i in range(len(a))]
        similarity = torch.stack([torch.stack([pair[0] for pair in row]) for row in rows])
        return Resonance(similarity, torch.stack([torch.stack([pair[1] for pair in row]) for row in rows]))

    def similarity(self, a: Encoded, b: Encoded) -> Tensor:
        return self.forward(a, b).similarity

    def aligned(self, a: Encoded, b: Encoded) -> Resonance:
        pairs = [self._pair(a, row, b, row) for row in range(len(a))]
        return Resonance(torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs]))

    def _pair(self, a: Encoded, i: int, b: Encoded, j: int) -> tuple[Tensor, Tensor]:
        left, right = (side.frames.values[row][side.frames.mask[row]] for side, row in ((a, i), (b, j)))
        told = (self.sharpness * left @ right.T).softmax(dim=1) @ right
        return torch.cosine_similarity(left, told, dim=1).mean(), told.mean(dim=0)
