"""Soft argmax: every frame of a attends to all frames of b (Vaswani et al. 2017, arXiv 1706.03762), by their cosines."""

from __future__ import annotations

import torch
from torch import Tensor

from sere_plugins.resonance.pairwise import PairwiseField
from sere_plugins.specs.resonance import AttentionParams
from sere_registry import BuildContext


class Attention(PairwiseField):
    """heard_ij = softmax_j( cos(z_i^a, z_j^b) / tau ); S and told are means under these weights.

    Use it to ask whether equation 5's hard choice matters: tau -> 0 is `cosine`, tau -> infinity tells every frame the mean of
    b, and between them gradients flow through the choice itself.
    """

    def __init__(self, params: AttentionParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params

    def hear(self, scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        return (scores / self.params.temperature).masked_fill(~columns.unsqueeze(1), -torch.inf).softmax(dim=2)
