"""Logistic regressions on the vectors of several encoders, each by itself, and the mean of their posteriors: a source-only floor.

    p(c | x) = 1/M sum_m softmax(W^m x^m + b^m)_c,   W^m and b^m as `logistic` fits them to x^m

x^m are the columns of encoder m in the vectors of a `concatenation` (late fusion, where `logistic` on the whole vectors is early fusion).
With one encoder it is `logistic`.  The mean of posteriors is the sum rule of Kittler et al. 1998, equation 11 with equal priors.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from sere_plugins.methods.base import Array, Labels
from sere_plugins.methods.logistic import Linear, Logistic, fitted
from sere_plugins.specs.methods import LogisticEnsembleParams
from sere_registry import MethodContext


class LogisticEnsemble(Logistic):
    """One stage that fits W `[M, C, F]` and b `[M, C]`; W^m is zero outside the columns of encoder m."""

    name = "logistic_ensemble"

    def __init__(self, params: LogisticEnsembleParams, context: MethodContext) -> None:
        super().__init__(params, context)
        widths = [states * width for states, width in context.networks] or [context.input_dim]
        self.columns = [slice(end - width, end) for end, width in zip(accumulate(widths), widths, strict=True)]
        self.register_buffer("weight", torch.zeros(len(widths), self.classes, context.input_dim))
        self.register_buffer("bias", torch.zeros(len(widths), self.classes))

    def fit(self, vectors: Array, labels: Labels, unlabelled: Sequence[Array]) -> tuple[Linear, dict[str, list[float]]]:
        """W and b of all, and the number of `steps` of each one's solver."""
        weight, found = self.weight.double(), [fitted(self.params, self.classes, vectors[:, part], labels) for part in self.columns]
        for number, (part, one) in enumerate(zip(self.columns, found, strict=True)):
            weight[number, :, part] = one.weight
        return Linear(weight, torch.stack([one.bias for one in found]), found[0].seen), {"steps": [float(one.steps) for one in found]}

    def _posteriors(self, vectors: Tensor) -> Tensor:
        logits = torch.einsum("nf,mcf->mnc", vectors, self.weight) + self.bias.unsqueeze(1)
        return logits.masked_fill(~self.seen, -torch.inf).softmax(dim=-1).mean(dim=0)
