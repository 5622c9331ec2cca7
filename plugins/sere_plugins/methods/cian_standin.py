"""A stand-in for CIAN (Zhou et al., ICASSP 2025), of which title and place are known and no more.  It is not CIAN.

The title, read literally: domains are aligned by making classification consistent.  Two classifiers on one network,

    L     = CE_1(S_l) + CE_2(S_l) + a mean_{T_u} inc + b sum_c omega_c ||m_{s,c} - m_{t,c}||^2
    inc_j = (1/C) sum_c |p^1_jc - p^2_jc|
    w_jc  = 1[argmax p^1_j = argmax p^2_j = c] (1 - inc_j),  m_{t,c} = sum_j w_jc g_j / sum_j w_jc
    omega_c = the share of T_u that both put into c;  m_{s,c} = the mean g of the class in S_l

over the batch; w and omega have no gradient.  A class without consistent or without labelled utterances has no gap.
CE_2 trains the second classifier and not the network, and the first predicts: with a = b = 0 it is source-only, to the
bit (unless `train.clip` is set: gradients of both are clipped together).  The closest documented relative is `mcd`.

No shares of classes are set; a wrong consistent pseudo-label pulls a class to another one's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sere_core.functional import wide
from sere_plugins.methods.base import OwnLosses
from sere_plugins.methods.mcd import discrepancy
from sere_plugins.specs.adversarial import CianStandinParams
from sere_registry import Group, LabelledBatch, MethodContext, Phase, Stage, UnlabelledBatch


@torch.no_grad()
def consistent_weights(first: Tensor, second: Tensor) -> Tensor:
    """w of posteriors `[n, C]` and `[n, C]`, `[n, C]`; rows of utterances that the two put into different classes are 0.

    >>> consistent_weights(torch.tensor([[0.9, 0.1], [0.6, 0.4]]), torch.tensor([[0.7, 0.3], [0.4, 0.6]]))
    tensor([[0.8000, 0.0000],
            [0.0000, 0.0000]])
    """
    guesses = first.argmax(dim=1)
    sure = (guesses == second.argmax(dim=1)) * (1 - (first - second).abs().mean(dim=1))
    return functional.one_hot(guesses, first.shape[1]) * sure.unsqueeze(1)


def class_gaps(source: Tensor, labels: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """`sum_c omega_c ||m_{s,c} - m_{t,c}||^2` of rows `[n, D]` with labels and `[m, D]` with weights `[m, C]`.

    >>> class_gaps(torch.tensor([[2.0]]), torch.tensor([0]), torch.tensor([[1.0], [5.0]]), torch.tensor([[0.9, 0.0], [0.0, 0.0]]))
    tensor(0.5000)
    """
    members = functional.one_hot(labels, weights.shape[1]).to(source.dtype)

    def means(rows: Tensor, shares: Tensor) -> Tensor:
        total = shares.sum(dim=0)
        return shares.T @ rows / total.masked_fill(total == 0, 1.0).unsqueeze(1)

    share = (weights > 0).to(source.dtype).mean(dim=0) * (members.sum(dim=0) > 0)
    gaps = (means(source, members) - means(target, weights.to(target.dtype))).square().sum(dim=1)
    return (share * gaps).sum()


class CianStandin(OwnLosses):
    """One phase; the classifiers are the backbone's and a second one."""

    params: CianStandinParams

    def __init__(self, params: CianStandinParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.second = nn.Linear(context.embedding_dim, self.classes)
        first = cast(nn.Linear, self.backbone.classifier)
        while torch.equal(self.second.weight, first.weight):  # twins would never disagree
            self.second.reset_parameters()
        self._consistent: Tensor | None = None

    def parameters_by_group(self) -> Mapping[str, Group]:
        return {"network": Group(list(self.backbone.parameters())), "second": Group(list(self.second.parameters()))}

    def stages(self) -> Sequence[Stage]:
        phase = Phase("learn", self.learn, trains=("network", "second"))
        return [Stage("cian_standin", sees=frozenset({"labelled", "target"}), phases=(phase,))]

    def learn(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Mapping[str, Tensor]:
        """The four terms of L."""
        first, second = wide(target.logits).softmax(dim=1), wide(self.second(target.embedding)).softmax(dim=1)
        weights = consistent_weights(first, second)
        self._consistent = (weights.sum(dim=1) > 0).float().mean()
        source, rows = wide(labelled.embedding), wide(target.embedding)
        with torch.autocast(rows.device.type, enabled=False):
            gaps = class_gaps(source, labelled.labels, rows, weights)
        return {
            "ce_first": functional.cross_entropy(labelled.logits, labelled.labels),
            "ce_second": functional.cross_entropy(self.second(labelled.embedding.detach()), labelled.labels),
            "inconsistency": self.params.consistency_weight * discrepancy(first, second),
            "gaps": self.params.alignment_weight * gaps,
        }

    def diagnostics(self) -> Mapping[str, float]:
        """`consistent`: the share of the last target batch that both put into the same class."""
        return {} if self._consistent is None else {"consistent": float(self._consistent)}
