"""What source-free methods share: a source stage, and a second that starts from its network and sees T_u alone.

    stage "source"  S_l only   label-smoothed cross-entropy
    stage "adapt"   T_u only   what the method says

Between them the engine builds the method anew: the second instance has no handle on the source.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor
from torch.nn import functional

from sere_core.functional import MemoryBank, entropy
from sere_plugins.methods.base import OwnLosses
from sere_plugins.specs.source_free import NeighbourParams, SourceFreeParams
from sere_registry import Group, LabelledBatch, MethodContext, Phase, Stage, StageData
from sere_registry.guard import warn
from sere_registry.training import Schedule

#: keeps the logarithm of a class that no one predicts finite, as in the authors' code of SHOT and NRC
EPS = 1e-5


class SourceFree(OwnLosses):
    """Two stages that share nothing but the network."""

    params: SourceFreeParams
    #: the groups that learn in the second stage
    adapts: tuple[str, ...] = ("features", "classifier")

    def parameters_by_group(self) -> Mapping[str, Group]:
        schedule = Schedule(use="inverse_decay") if self.params.decay else None
        features = Group(list(self.backbone.features()), scale=self.params.features_scale, schedule=schedule)
        return {"features": features, "classifier": Group(list(self.backbone.classifier.parameters()), schedule=schedule)}

    def stages(self) -> Sequence[Stage]:
        share = self.params.source_budget
        learn = Phase("source", self.learn, trains=("features", "classifier"))
        adapt = Phase("adapt", self.adapt, trains=self.adapts)
        return [
            Stage("source", sees=frozenset({"labelled"}), phases=(learn,), budget=share),
            Stage("adapt", frozenset({"target"}), (adapt,), begin=self.begin, budget=1.0 - share),
        ]

    def learn(self, labelled: LabelledBatch) -> Mapping[str, Tensor]:
        """The source stage."""
        return {"ce": functional.cross_entropy(labelled.logits, labelled.labels, label_smoothing=self.params.smoothing)}

    @abstractmethod
    def begin(self, data: StageData) -> None:
        """Before the first step of the second stage, and after a resume."""

    @property
    @abstractmethod
    def adapt(self) -> Callable[..., Mapping[str, Tensor]]:
        """The terms of a step of the second stage."""


class Neighbours(SourceFree):
    """One that looks for neighbours in a bank of T_u: unit embeddings and posteriors of all of it."""

    params: NeighbourParams

    def __init__(self, params: NeighbourParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.bank = MemoryBank(context.embedding_dim, len(context.classes))

    def begin(self, data: StageData) -> None:
        """Fill the bank from the source model; a resumed run finds it full and leaves it."""
        others = data.size("target") - 1
        if others < self.params.neighbours:
            name = self.params.spec.name
            warn(name, "neighbours", f"{name}: each target utterance has {others} others, not {self.params.neighbours} neighbours")
        if not len(self.bank):
            target = data.encoded("target")
            self.bank.fill(target.embedding, target.logits.softmax(dim=-1))

    def diagnostics(self) -> Mapping[str, float]:
        """`spread`: the entropy of the bank's mean score, over log C; a fall to 0 is a collapse."""
        if not len(self.bank):
            return {}
        mean = self.bank.posteriors.mean(dim=0)
        return {"spread": entropy(mean).item() / math.log(len(mean))}
