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

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sere_core.functional import MemoryBank, Neighbourhood, diversity, entropy, neighbourhood
from sere_plugins.methods.base import OwnLosses
from sere_plugins.specs.methods import NrcParams
from sere_registry import Group, LabelledBatch, MethodContext, Phase, Stage, StageData, UnlabelledBatch
from sere_registry.training import Schedule

#: keeps the logarithm of a class that no one predicts finite, as in the authors' code
EPS = 1e-5


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


class Nrc(OwnLosses):
    """Two stages that share nothing but the network: the second is built anew, without a handle on the source."""

    params: NrcParams

    def __init__(self, params: NrcParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.bank = MemoryBank(context.embedding_dim, len(context.classes))
        self.reciprocal: Tensor | None = None

    def parameters_by_group(self) -> Mapping[str, Group]:
        schedule = Schedule(use="inverse_decay") if self.params.decay else None
        features = Group(list(self.backbone.features()), scale=self.params.features_scale, schedule=schedule)
        return {"features": features, "classifier": Group(list(self.backbone.classifier.parameters()), schedule=schedule)}

    def stages(self) -> Sequence[Stage]:
        everyone, share = ("features", "classifier"), self.params.source_budget
        learn, adapt = Phase("source", self.learn, trains=everyone), Phase("adapt", self.adapt, trains=everyone)
        return [
            Stage("source", sees=frozenset({"labelled"}), phases=(learn,), budget=share),
            Stage("adapt", sees=frozenset({"target"}), phases=(adapt,), begin=self.begin, budget=1.0 - share),
        ]

    def learn(self, labelled: LabelledBatch) -> Mapping[str, Tensor]:
        """The source stage."""
        return {"ce": functional.cross_entropy(labelled.logits, labelled.labels, label_smoothing=self.params.smoothing)}

    def begin(self, data: StageData) -> None:
        """Fill the bank from the source model; a resumed run finds it full and leaves it."""
        if not len(self.bank):
            target = data.encoded("target")
            self.bank.fill(target.embedding, target.logits.softmax(dim=-1))

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
        """`reciprocal`: their share among the last batch's neighbours; `spread`: the entropy of the bank's mean score, over log C.

        A spread that falls to 0 is the collapse that `diversity: 0` invites.
        """
        found: dict[str, float] = {}
        if self.reciprocal is not None and self.reciprocal.numel():
            found["reciprocal"] = self.reciprocal.float().mean().item()
        if len(self.bank):
            mean = self.bank.posteriors.mean(dim=0)
            found["spread"] = entropy(mean).item() / math.log(len(mean))
        return found
