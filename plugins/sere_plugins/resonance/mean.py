"""The field switched off: utterances meet as wholes, by the cosine of their embeddings g."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sere_plugins.resonance.pairwise import unit
from sere_registry import BuildContext, Encoded, NoParams, Resonance


class Mean(nn.Module):
    """S(a, b) = cos(g_a, g_b), and b tells everyone its own g."""

    directed = False

    def __init__(self, params: NoParams, context: BuildContext) -> None:
        super().__init__()

    def forward(self, a: Encoded, b: Encoded) -> Resonance:
        """S `[A, B]`; told `[A, B, D]`, g_b in every row."""
        return Resonance(self.similarity(a, b), b.embedding.unsqueeze(0).expand(len(a), -1, -1))

    def similarity(self, a: Encoded, b: Encoded) -> Tensor:
        """S of every pair, `[A, B]`."""
        with torch.autocast(a.embedding.device.type, enabled=False):
            return _unit(a.embedding) @ _unit(b.embedding).T

    def aligned(self, a: Encoded, b: Encoded) -> Resonance:
        """Row i of a with row i of b: S `[P]`, told `[P, D]`."""
        with torch.autocast(a.embedding.device.type, enabled=False):
            return Resonance((_unit(a.embedding) * _unit(b.embedding)).sum(dim=-1), b.embedding)


def _unit(rows: Tensor) -> Tensor:
    return unit(rows.to(torch.promote_types(rows.dtype, torch.float32)))
