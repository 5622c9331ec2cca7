"""Supervised contrast (SupCon, arXiv:2004.11362) of the labelled utterances, beside cross-entropy.

    L = tau / tau_base mean_i -1/|P(i)| sum_{p in P(i)} log softmax_{a != i}(h_i . h_a / tau)_p           (eq. 2)

h is a projection of g at length 1, P(i) are the other utterances of the class of i.  Deviations: an utterance is there once, where the
authors have two views of it; cross-entropy is learnt at the same time and not afterwards.  It reads nothing of the target.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from sere_core.functional import mlp, supervised_contrastive, unit_rows, wide
from sere_plugins.specs.alignment import SupConParams
from sere_registry import BuildContext, LabelledBatch


class SupCon(nn.Module):
    """Contrast on S_l."""

    def __init__(self, params: SupConParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params
        width = context.embedding_dim
        self.head = mlp(width, width, params.projection) if params.projection else nn.Identity()

    def forward(self, labelled: LabelledBatch) -> Mapping[str, Tensor]:
        rows = unit_rows(wide(self.head(labelled.embedding)))
        return {"contrast": supervised_contrastive(rows, labelled.labels, self.params.temperature, self.params.base_temperature)}
