"""Prototype-based consistency (Xu et al., NeurIPS 2022): several prototypes of each class are a second classifier on g.

    s_ic = max_m cos(g_i, q_cm) / tau,  p^proto = softmax(s)
    L    = CE(y, p^proto) on S_l
         + lambda_u 1/B sum_j 1[max p^teacher_j >= t] ( CE(yh_j, p_j) + CE(yh_j, p^proto_j) ) on T_u,  yh_j = argmax p^teacher_j
    q_cm <- unit(rho q_cm + (1 - rho) mean of the unit g of class c whose nearest prototype of c is m)     after every step

p is the network's classifier on the strong view, p^teacher that of its moving average on the weak view.  Predictor and update
are those of the authors' code (`core/models/decoder.py` of the MindSpore release), the supervision is that of the paper's
figure, the weights of the terms are ours.  CE(y, p) on S_l is the loss `cross_entropy`.

From images to speech: pixels become utterances; with 5 labels of a class M = 2.  The prototypes of a class start, where the
authors read clusters from a file, with the first batch that has labels of it: its mean, and then whichever utterance
is farthest from those chosen.  A class without labels has none: its p^proto is as low as it gets, its pseudo-labels do not
teach p^proto.  The update takes S_l and what is taught.  Nothing is assumed of class shares.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from sere_core.functional import MovingAverage, pseudo_label_loss, unit_rows, wide
from sere_plugins.losses.mixmatch import in_order
from sere_plugins.specs.consistency import PrototypeConsistencyParams
from sere_registry import BuildContext, LabelledBatch, Progress, ResonanceField, UnlabelledBatch


def farthest_first(rows: Tensor, count: int) -> Tensor:
    """`count` unit rows that stand for unit rows `[n, D]`: their mean direction, then those least like the ones chosen.

    >>> farthest_first(torch.eye(2)[[0, 0, 0, 1]], 2).round(decimals=2)
    tensor([[0.9500, 0.3200],
            [0.0000, 1.0000]])
    """
    chosen = [unit_rows(rows.mean(dim=0))]
    for _ in range(count - 1):
        chosen.append(rows[(rows @ torch.stack(chosen).T).amax(dim=1).argmin()])
    return torch.stack(chosen)


class PrototypeConsistency(nn.Module):
    """The prototypes `[C, M, D]` and the teacher are part of the state."""

    views = frozenset({"target"})
    prototypes: Tensor
    started: Tensor

    def __init__(self, params: PrototypeConsistencyParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params
        self.predicts = params.predict == "teacher"
        self.teacher = MovingAverage(context.backbone)
        classes = len(context.classes)
        self.register_buffer("prototypes", torch.zeros(classes, params.prototypes, context.embedding_dim))
        self.register_buffer("started", torch.zeros(classes, dtype=torch.bool))
        self._seen: tuple[Tensor, Tensor] | None = None
        self._kept: Tensor | None = None

    def forward(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Mapping[str, Tensor]:
        assert target.views is not None  # asked for in `views`
        known, strong = unit_rows(wide(labelled.embedding)), target.views.strong
        self.start(known.detach()[in_order(labelled)], labelled.labels[in_order(labelled)])
        unknown = unit_rows(wide(strong.embedding))
        teacher = self.teacher.encode(target.views.weak).logits
        linear, kept = pseudo_label_loss(teacher, wide(strong.logits), self.params.threshold)
        guess = teacher.argmax(dim=1)
        taught = kept & self.started[guess]
        each = functional.cross_entropy(self.scores(unknown), guess, reduction="none")
        self._kept = kept
        self._seen = torch.cat([known, unknown[taught]]).detach(), torch.cat([labelled.labels, guess[taught]])
        return {
            "labelled": functional.cross_entropy(self.scores(known), labelled.labels),
            "linear": self.params.unlabelled_weight * linear,
            "prototype": self.params.unlabelled_weight * torch.where(taught, each, 0.0).sum() / len(each),
        }

    def scores(self, rows: Tensor) -> Tensor:
        """s of unit rows `[n, D]`, `[n, C]`; -1 / tau for a class without prototypes."""
        with torch.autocast(rows.device.type, enabled=False):
            nearest = torch.einsum("nd,cmd->ncm", rows, self.prototypes.to(rows.dtype)).amax(dim=2)
        return nearest.masked_fill(~self.started, -1.0) / self.params.temperature

    def start(self, rows: Tensor, labels: Tensor) -> None:
        """The first prototypes of the classes that have labels and no prototypes, from unit rows `[n, D]`."""
        for c in sorted(set(labels.tolist())):
            if not self.started[c]:
                self.prototypes[c] = farthest_first(rows[labels == c], self.params.prototypes)
                self.started[c] = True

    @torch.no_grad()
    def follow(self, rows: Tensor, labels: Tensor) -> None:
        """Each prototype moves to the mean of the unit rows `[n, D]` of its class that are nearest to it; without any it stays."""
        rows = rows.to(self.prototypes.dtype)
        own = (self.prototypes[labels] @ rows.unsqueeze(2)).squeeze(2).argmax(dim=1)
        member = functional.one_hot(labels * self.params.prototypes + own, self.started.numel() * self.params.prototypes).to(rows)
        counts = member.sum(dim=0)
        means = (member.T @ rows) / counts.clamp(min=1).unsqueeze(1)
        old = self.prototypes.flatten(0, 1)
        moved = unit_rows(self.params.decay * old + (1 - self.params.decay) * means)
        self.prototypes.copy_(torch.where(counts.unsqueeze(1) > 0, moved, old).view_as(self.prototypes))

    def after_step(self, progress: Progress) -> None:
        """Prototypes and teacher follow."""
        if self._seen is not None:
            self.follow(*self._seen)
            self._seen = None
        self.teacher.follow(self.params.ema, progress.step)

    def predict(self, batch: UnlabelledBatch, support: LabelledBatch, field: ResonanceField | None) -> Tensor | None:
        """The teacher's posteriors `[B, C]`; None for `predict: student`."""
        return self.teacher.encode(batch).logits.softmax(dim=1) if self.predicts else None

    def diagnostics(self) -> Mapping[str, float]:
        """`mask`: the share of the last batch that was confident enough to teach; `started`: of the classes that have prototypes."""
        if self._kept is None:
            return {}
        return {"mask": self._kept.float().mean().item(), "started": self.started.float().mean().item()}
