"""Neighbourhood reciprocity clustering (arXiv:2110.04202): source-free adaptation by agreement with neighbours.

    stage "source"  S_l only   label-smoothed cross-entropy
    stage "adapt"   T_u only   L = - 1/B sum_i sum_{k in N_i} A_ik S_k . p_i            neighbours
                                   - 1/B sum_i sum_k sum_{m in E_ik} r S_m . p_i        neighbours' neighbours
                                   - 1/B sum_i S_i . p_i                                self (`self_term`)
                                   + sum_c pbar_c log pbar_c                            diversity

N_i are the K nearest of i in a bank of T_u's unit embeddings, E_ik the M nearest of neighbour k; A_ik is 1 where i is
among E_ik (reciprocal) and r elsewhere; S are the bank's posteriors, without gradient; pbar is the batch's mean
prediction.  The rows of the batch are overwritten before the search.  Gradients agree with the authors' Office-Home
script to its float32 weights.

Assumptions and deviations: the diversity term takes T_u to be balanced over the classes.  Features and classifier are
both trained, as in the authors' code; its learning-rate decay, which falls anew in each stage, is `decay`.  Its change to
K = 5, M = 4 after half the run is left out; an utterance is kept from its own neighbours by position, where the code
drops the first rank.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sere_core.functional import Neighbourhood, diversity, neighbourhood
from sere_plugins.methods.source_free import EPS, Neighbours
from sere_plugins.specs.source_free import NrcParams
from sere_registry import MethodContext, UnlabelledBatch


def attraction(posteriors: Tensor, scores: Tensor, around: Neighbourhood, affinity: float, expanded_affinity: float) -> dict[str, Tensor]:
    """The first two terms of the objective.

    Args:
        posteriors: p, `[B, C]`.
        scores: S, the bank's posteriors, `[n, C]`.
        around: the neighbourhood of the batch in the bank.
        affinity: r of neighbours that are not reciprocal.
        expanded_affinity: r of neighbours' neighbours.
    """
    weight = torch.full_like(scores[around.near, 0], affinity).masked_fill(around.reciprocal, 1.0)
    neighbours = (weight.unsqueeze(-1) * scores[around.near]).sum(dim=1)
    expanded = expanded_affinity * scores[around.expanded].sum(dim=(1, 2))
    return {"neighbours": -(neighbours * posteriors).sum(dim=-1).mean(), "expanded": -(expanded * posteriors).sum(dim=-1).mean()}


class Nrc(Neighbours):
    """The objective above, with a bank of T_u."""

    params: NrcParams

    def __init__(self, params: NrcParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.reciprocal: Tensor | None = None

    def adapt(self, target: UnlabelledBatch) -> Mapping[str, Tensor]:
        """The adaptation stage: write the batch into the bank, then look for neighbours."""
        posteriors = target.logits.softmax(dim=-1)
        self.bank.write(target.index, target.embedding, posteriors)
        around = neighbourhood(self.bank.embeddings, target.index, self.params.neighbours, self.params.expanded)
        self.reciprocal = around.reciprocal
        scores = self.bank.posteriors.to(posteriors.dtype)
        terms = attraction(posteriors, scores, around, self.params.affinity, self.params.expanded_affinity)
        if self.params.self_term:
            terms["self"] = -(scores[target.index] * posteriors).sum(dim=-1).mean()
        if self.params.diversity:
            terms["diversity"] = self.params.diversity * diversity(posteriors, EPS)
        return terms

    def diagnostics(self) -> Mapping[str, float]:
        """`reciprocal`: their share among the last batch's neighbours; `spread` as in `Neighbours`.

        A spread that falls to 0 is the collapse that `diversity: 0` invites.
        """
        if self.reciprocal is None or not self.reciprocal.numel():
            return super().diagnostics()
        return {"reciprocal": self.reciprocal.float().mean().item(), **super().diagnostics()}
