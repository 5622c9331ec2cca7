"""Maximum classifier discrepancy (arXiv:1712.02560): two classifiers disagree on T_u, one generator makes them agree.

Each step has the three phases of the authors' code (`classification/solver.py`, mil-tokyo/MCD_DA):

    A  generator, classifiers   min CE_1 + CE_2                          on S_l
    B  classifiers              min CE_1 + CE_2 - disc                   on S_l and T_u
    C  generator (n times)      min disc                                 on T_u
    disc = mean over utterances and classes of |p_1 - p_2|

There is no weight whose zero gives source-only: two classifiers stay two classifiers.  `class_balance` above 0 adds the
term of Transfer-Learning-Library to A and B, which assumes that the classes of T_u are balanced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sere_plugins.methods.base import OwnLosses
from sere_plugins.specs.methods import McdParams
from sere_registry import Group, LabelledBatch, MethodContext, Phase, Stage, UnlabelledBatch


def discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """The mean absolute difference of two sets of posteriors `[B, C]`: 0 if they agree, at most 2 / C."""
    return (first - second).abs().mean()


def class_balance(posteriors: Tensor) -> Tensor:
    """`-mean_c log mean_j p_jc` of posteriors `[B, C]`: least, log C, where the mean prediction is uniform."""
    return -(posteriors.mean(dim=0) + 1e-6).log().mean()


class Mcd(OwnLosses):
    """A generator (everything but the classifier) and two classifiers, the backbone's and one of its own."""

    params: McdParams

    def __init__(self, params: McdParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.second = nn.Linear(context.embedding_dim, len(context.classes))
        first = cast(nn.Linear, self.backbone.classifier)
        while torch.equal(self.second.weight, first.weight):  # twins would never disagree
            self.second.reset_parameters()

    def parameters_by_group(self) -> Mapping[str, Group]:
        classifiers = [*self.backbone.classifier.parameters(), *self.second.parameters()]
        return {"generator": Group(list(self.backbone.features())), "classifiers": Group(classifiers)}

    def stages(self) -> Sequence[Stage]:
        everyone, labelled = ("generator", "classifiers"), frozenset({"labelled"})
        phases = (
            Phase("A", self.learn, trains=everyone, reads=labelled | {"target"} if self.params.class_balance else labelled),
            Phase("B", self.disagree, trains=("classifiers",)),
            Phase("C", self.agree, trains=("generator",), repeats=self.params.generator_steps),
        )
        return [Stage("mcd", sees=frozenset({"labelled", "target"}), phases=phases)]

    def learn(self, labelled: LabelledBatch, target: UnlabelledBatch | None = None) -> Mapping[str, Tensor]:
        """Phase A: both classifiers learn the labels; with the class-balance term if there is a target."""
        first, second = self._logits(labelled.embedding)
        terms = {
            "ce_first": functional.cross_entropy(first, labelled.labels),
            "ce_second": functional.cross_entropy(second, labelled.labels),
        }
        return terms if target is None else terms | self._balance(target.embedding)

    def disagree(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Mapping[str, Tensor]:
        """Phase B: the classifiers disagree on T_u as much as S_l lets them.  Embeddings are detached: the generator rests."""
        source, embedding = replace(labelled, embedding=labelled.embedding.detach()), target.embedding.detach()
        apart = -discrepancy(*self._posteriors(embedding))
        terms = {**self.learn(source), "minus_discrepancy": apart}
        return terms | self._balance(embedding) if self.params.class_balance else terms

    def agree(self, target: UnlabelledBatch) -> Mapping[str, Tensor]:
        """Phase C: the generator moves T_u to where the classifiers agree."""
        return {"discrepancy": discrepancy(*self._posteriors(target.embedding))}

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        """The softmax of the sum of both classifiers' logits, whose argmax is the authors' ensemble."""
        first, second = self._logits(batch.embedding)
        return (first + second).softmax(dim=-1)

    def _logits(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        return self.backbone.classifier(embedding), self.second(embedding)

    def _posteriors(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self._logits(embedding)
        return first.softmax(dim=-1), second.softmax(dim=-1)

    def _balance(self, embedding: Tensor) -> dict[str, Tensor]:
        first, second = self._posteriors(embedding)
        return {"class_balance": self.params.class_balance * (class_balance(first) + class_balance(second))}
