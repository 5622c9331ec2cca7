"""Consistency of two views: the Pi-model (arXiv:1610.02242) and Mean Teacher (arXiv:1703.01780).

    L        = w(t) 1/(B C) sum_j || softmax(z_j^{student, view 1}) - sg softmax(z_j^{teacher, view 2}) ||^2
    theta'  <- a theta' + (1 - a) theta,  a = min(ema, 1 - 1 / (step + 2))       after every step
    w(t)     = exp(-5 (1 - t / ramp)^2), 1 from `ramp` on;  t is the share of the stage that is done

sg: no gradient.  The teacher of Mean Teacher is the moving average theta' of the student, that of the Pi-model the student
itself, with other dropout.  The largest weight is that of the config.  Cross-entropy on S_l is the loss `cross_entropy`.
Loss and average are those of Mean Teacher's code (`pytorch/mean_teacher/losses.py`, `main.py`); buffers of the
teacher, which it keeps apart, are copied from the student.  Nothing is assumed of class shares.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from sere_core.functional import MovingAverage, wide
from sere_plugins.specs.consistency import PiModelParams
from sere_plugins.specs.losses import MeanTeacherParams
from sere_registry import BuildContext, Encoded, LabelledBatch, Progress, ResonanceField, UnlabelledBatch


class PiModel(nn.Module):
    """The network agrees with itself on T_u, and on S_u if `use_source`."""

    def __init__(self, params: PiModelParams | MeanTeacherParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params
        self.views = frozenset({"target", "source"} if params.use_source else {"target"})
        self.reads = self.views | {"progress"}
        self._agreement: Tensor | None = None

    def forward(self, progress: Progress, target: UnlabelledBatch, source: UnlabelledBatch | None = None) -> Mapping[str, Tensor]:
        batches = [batch for batch in (target, source) if batch is not None]
        student, teacher = (torch.cat(rows) for rows in zip(*map(self._posteriors, batches), strict=True))
        self._agreement = (student.argmax(dim=1) == teacher.argmax(dim=1)).float().mean().detach()
        return {"consistency": self.ramp(progress.fraction) * functional.mse_loss(student, teacher)}

    def ramp(self, fraction: float) -> float:
        """w(t), in [exp(-5), 1]."""
        return math.exp(-5 * (1 - fraction / self.params.ramp) ** 2) if fraction < self.params.ramp else 1.0

    def taught(self, view: Encoded) -> Tensor:
        """The teacher's logits `[B, C]`, without gradient."""
        return view.logits.detach()

    def _posteriors(self, batch: UnlabelledBatch) -> tuple[Tensor, Tensor]:
        assert batch.views is not None  # asked for in `views`
        mine, other = batch.views.strong, batch.views.weak
        if self.params.student == "weak":
            mine, other = other, mine
        return wide(mine.logits).softmax(dim=1), wide(self.taught(other)).softmax(dim=1)

    def diagnostics(self) -> Mapping[str, float]:
        """`agreement`: the share of the last batch that student and teacher put into the same class."""
        return {} if self._agreement is None else {"agreement": float(self._agreement)}


class MeanTeacher(PiModel):
    """The network agrees with its moving average, which is part of the state and may predict."""

    params: MeanTeacherParams

    def __init__(self, params: MeanTeacherParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.predicts = params.predict == "teacher"
        self.teacher = MovingAverage(context.backbone)

    def taught(self, view: Encoded) -> Tensor:
        return self.teacher.encode(view).logits

    def after_step(self, progress: Progress) -> None:
        """The teacher follows."""
        self.teacher.follow(self.params.ema, progress.step)

    def predict(self, batch: UnlabelledBatch, support: LabelledBatch, field: ResonanceField | None) -> Tensor | None:
        """The teacher's posteriors `[B, C]`; None for `predict: student`."""
        return self.teacher.encode(batch).logits.softmax(dim=1) if self.predicts else None
