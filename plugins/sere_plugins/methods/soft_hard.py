"""Semi-supervised cross-lingual recognition with soft and hard pseudo-labels (Agarla et al., arXiv 2207.06767): reconstructed.

    L = CE(S_l) + w 1/B sum_j CE(q_j, p_j)

    hard   q_j = onehot(argmax pi_j), where max pi_j >= threshold, else the term is left out
    soft   q_j = pi_j
    both   hard where max pi_j >= threshold, soft elsewhere

p_j are the network's posteriors `[B, C]` of a batch of T_u now; pi_j those `[n, C]` that it had of all of T_u when the round
began.  The stage is `rounds` + 1 equal parts: the first trains on S_l alone, and after each but the last pi is made anew.

Known from abstract and highlights: a Transformer, trained on a source language and few labels of the new one, adapts by
pseudo-labels of the unlabelled utterances; hard and soft ones are both investigated.  Unknown, and ours: threshold, rounds, weight,
and `both`, which joins what the paper compares.  The Transformer is whatever encoder the config names, and the few labels of
the new language are `task.target_labels`; without these it has the source's alone, which is harder than the paper's task.

No class shares are assumed: hard pseudo-labels follow the network's own, and classes that it never predicts are never
taught.  With `weight: 0` it is `joint` with cross-entropy, to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sere_core.functional import ResizableBuffers, wide
from sere_plugins.methods.base import OwnLosses
from sere_plugins.specs.fusion import SoftHardParams
from sere_registry import Group, LabelledBatch, MethodContext, Phase, Progress, Stage, StageData, UnlabelledBatch


class Assigned(ResizableBuffers):
    """pi `[n, C]`, empty before the first round; which round it is of, and how many most likely classes that changed."""

    resizable: Mapping[str, int] = {"posteriors": 0}
    posteriors: Tensor
    round: Tensor
    changed: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("posteriors", torch.zeros(0, classes))
        self.register_buffer("round", torch.zeros((), dtype=torch.long))
        self.register_buffer("changed", torch.zeros(()))

    def renew(self, posteriors: Tensor, number: int) -> None:
        """Take over what the network says of all of T_u."""
        fresh, old = wide(posteriors).float(), self.posteriors.argmax(dim=1)
        differs = fresh.argmax(dim=1) != old if len(old) else torch.ones(len(fresh), dtype=torch.bool)
        self.posteriors, self.changed = fresh.clone(), differs.float().mean().to(self.changed.device)
        self.round.fill_(number)


class SoftHard(OwnLosses):
    """One stage; its state are the pseudo-labels of the round."""

    params: SoftHardParams

    def __init__(self, params: SoftHardParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.assigned = Assigned(self.classes)

    def parameters_by_group(self) -> Mapping[str, Group]:
        return {"network": Group([each for each in self.backbone.parameters() if each.requires_grad])}

    def stages(self) -> Sequence[Stage]:
        phase = Phase("learn", self.learn, trains=("network",))
        return [Stage("rounds", sees=frozenset({"labelled", "target"}), phases=(phase,), after_epoch=self.after_epoch)]

    def learn(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Mapping[str, Tensor]:
        """Both terms; before the first round the second is 0."""
        terms = {"ce": functional.cross_entropy(labelled.logits, labelled.labels)}
        if len(self.assigned.posteriors):
            terms["pseudo"] = self.params.weight * self.pseudo(target.logits, self.assigned.posteriors[target.index])
        else:
            terms["pseudo"] = 0.0 * target.logits.sum()
        return terms

    def pseudo(self, logits: Tensor, taught: Tensor) -> Tensor:
        """`1/B sum_j CE(q_j, p_j)` of logits `[B, C]`, with pi `[B, C]`."""
        logs = wide(logits).log_softmax(dim=1)
        confidence, guess = taught.max(dim=1)
        soft, sure = -(taught * logs).sum(dim=1), confidence >= self.params.threshold
        if self.params.labels == "soft":
            return soft.mean()
        hard = functional.nll_loss(logs, guess, reduction="none")
        return torch.where(sure, hard, soft if self.params.labels == "both" else torch.zeros_like(hard)).mean()

    def after_epoch(self, progress: Progress, data: StageData) -> None:
        """Assign pseudo-labels anew where a part of the stage has ended."""
        if not progress.step:
            return  # how long the stage is cannot be told yet
        parts, done = self.params.rounds + 1, progress.fraction * (progress.step + 1) / progress.step
        number = int(done * parts + 1e-6)
        if int(self.assigned.round) < number < parts:
            self.assigned.renew(data.encoded("target").logits.softmax(dim=1), number)

    def pseudo_labels(self, batch: UnlabelledBatch, support: LabelledBatch) -> Tensor | None:
        """The most likely classes, `[B]`."""
        return batch.logits.argmax(dim=1)

    def diagnostics(self) -> Mapping[str, float]:
        """Of the last round; nothing before the first."""
        posteriors = self.assigned.posteriors
        if not len(posteriors):
            return {}
        sure = (posteriors.amax(dim=1) >= self.params.threshold).float().mean().item()
        missing = self.classes - len(set(posteriors.argmax(dim=1).tolist()))
        return {"hard": sure, "changed": self.assigned.changed.item(), "missing": float(missing)}
