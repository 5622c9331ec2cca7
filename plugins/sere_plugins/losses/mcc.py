"""Minimum class confusion (arXiv:1912.03699): on a batch of T_u no two classes are probable at once.

    Y = softmax(z / T),  W_i = B (1 + exp(-H_i)) / sum_j (1 + exp(-H_j)),  H_i the entropy of row i       (eq. 2, 5)
    K = Y^T diag(W) Y,  its rows divided by their sums                                                    (eq. 6, 7)
    L = 1/C sum_{c != c'} K_cc'                                                                           (eq. 8)

Gradients reach both sides of K and the weights do not carry any, as in the authors' code.  Rows are
compared within classes, so that no equal shares are assumed, but that each class is there: one that nobody predicts has a row of next
to nothing, which is still divided by its sum, and costs 1/C, as in the limit of probability 0.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from sere_core.functional import entropy, wide
from sere_plugins.specs.alignment import MccParams
from sere_registry import BuildContext, UnlabelledBatch


def class_confusion(logits: Tensor, temperature: float) -> Tensor:
    """L of logits `[B, C]`: 0 where predictions are sure and all classes predicted, 1 - 1/C where all are uniform.

    >>> import torch
    >>> class_confusion(torch.zeros(4, 2), temperature=1.0)
    tensor(0.5000)
    """
    posteriors = (wide(logits) / temperature).softmax(dim=1)
    weights = 1 + (-entropy(posteriors.detach())).exp()
    weights = len(weights) * weights / weights.sum()
    confusion = (posteriors * weights[:, None]).T @ posteriors
    sums = confusion.sum(dim=1, keepdim=True)
    absent = sums < 1e-30
    confusion = (confusion / sums.masked_fill(absent, 1.0)).masked_fill(absent, 0.0)
    return (confusion.sum() - confusion.trace() + absent.sum()) / len(confusion)


class Mcc(nn.Module):
    """The class confusion on T_u."""

    def __init__(self, params: MccParams, context: BuildContext) -> None:
        super().__init__()
        self.temperature = params.temperature

    def forward(self, target: UnlabelledBatch) -> Mapping[str, Tensor]:
        return {"confusion": class_confusion(target.logits, self.temperature)}
