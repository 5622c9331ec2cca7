"""The maximum mean discrepancy (Gretton et al., JMLR 13, 2012, equation 5)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sere_example.specs import MmdParams
from sere_registry import BuildContext, LabelledBatch, UnlabelledBatch


class Mmd(nn.Module):
    """S_l and T_u get the same distribution of embeddings; the kernels are as wide as distances in the batch are long."""

    def __init__(self, params: MmdParams, context: BuildContext) -> None:
        super().__init__()
        self.kernels = params.kernels

    def forward(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Mapping[str, Tensor]:
        """Embeddings `[n, D]` and `[m, D]` -> the biased estimate of MMD², which is never negative."""
        n = len(labelled)
        rows = torch.cat([labelled.embedding, target.embedding])
        squares = (rows.unsqueeze(1) - rows.unsqueeze(0)).square().sum(dim=-1)
        width = squares.mean().clamp(min=1e-12)  # with its gradient: the loss does not depend on the scale of the embedding
        steps = [2.0 ** (number - self.kernels // 2) for number in range(self.kernels)]
        alike = torch.stack([(-squares / (step * width)).exp() for step in steps]).mean(dim=0)
        return {"mmd": alike[:n, :n].mean() + alike[n:, n:].mean() - 2 * alike[:n, n:].mean()}
