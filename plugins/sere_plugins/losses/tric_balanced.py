"""TRIC with balanced pseudo-labels: a variant that is ours, not the paper's.

The paper takes as pseudo-label of u_j the label of its most resonant anchor.  A few labelled utterances are the anchors of
most of T_u then, and their classes take nearly all of it.  Here every class is assigned the same share of T_u:

    Q       = equal shares of p on T_u, (B1) of `sere_core.functional.equal_shares`
    c(j)    = argmax_c Q_jc,  a(j) = argmax of S(u_j, l) over the l of class c(j)                    (B2) in equations 7 and 8
    L_T     = CE(logits_j, c(j)), mean over the batch; the logits may be those of an altered view    (B3) the classifier learns

p_j is the classifier's posterior.  Q is made anew from the whole of T_u after every epoch; the first epoch is plain TRIC's.  With
`teacher: logistic` p_j is not the classifier's but that of a logistic regression on utterance vectors that taught itself
(`logistic_balanced`), and Q is made once.  Assumption: T_u holds about as many utterances of each class; where it does not, some
pseudo-labels are wrong by construction.  Labels of the target are not used.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from sere_core.functional import ResizableBuffers, equal_shares, wide
from sere_plugins.losses.tric import Matched, Members, Tric
from sere_plugins.methods.balanced_self_training import assigned, self_taught
from sere_plugins.methods.base import labelled_vectors, stream_vectors
from sere_plugins.specs.losses import TricAssignedParams, TricBalancedParams
from sere_plugins.specs.transductive import LogisticBalancedParams
from sere_registry import BuildContext, LabelledBatch, Progress, ResonanceField, StageData, UnlabelledBatch
from sere_registry.training import Stream


class TricAssigned(ResizableBuffers, Tric):
    """TRIC with assigned pseudo-labels: (B2) and (B3).

    `assigned` `[n, C]` is Q by position in T_u; it has no rows before the first assignment, and until then this is plain TRIC.
    """

    params: TricAssignedParams
    assigned: Tensor
    resizable: Mapping[str, int] = {"assigned": 0}

    def __init__(self, params: TricAssignedParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.views = frozenset() if params.view == "none" or not params.teach_weight else frozenset({"target"})
        self.streams: tuple[Stream, ...] = ("target", "source") if "source" in self.reads else ("target",)
        self.register_buffer("assigned", torch.zeros(0, len(context.classes)))

    def forward(
        self, *, support: LabelledBatch, target: UnlabelledBatch, field: ResonanceField, source: UnlabelledBatch | None = None
    ) -> Mapping[str, Tensor]:
        """TRIC's terms and `teach`, (B3)."""
        found = super().forward(support=support, target=target, field=field, source=source)
        return {**found, "teach": self.params.teach_weight * self._teach(target)}

    def _teach(self, target: UnlabelledBatch) -> Tensor:
        if not len(self.assigned) or self.params.teach_weight == 0:
            return target.logits.new_zeros(())
        logits = target.logits
        if self.views:
            assert target.views is not None  # asked for in `views`
            logits = (target.views.weak if self.params.view == "weak" else target.views.strong).logits
        given, logits = self.assigned[target.index], wide(logits)
        return functional.cross_entropy(logits, given.to(logits) if self.params.soft else given.argmax(dim=1))

    def _anchored(self, support: LabelledBatch, target: UnlabelledBatch, field: ResonanceField) -> Members | None:
        """(B2): the anchor is sought within the assigned class; among all where S_l has none of that class."""
        if not len(self.assigned):
            return super()._anchored(support, target, field)
        among = self.assigned[target.index].argmax(dim=1).unsqueeze(1) == support.labels
        among |= ~among.any(dim=1, keepdim=True)
        found = Matched.find(target, support, field, both=False, among=among)
        return None if found is None else (found, support.labels[found.picks])

    def diagnostics(self) -> Mapping[str, float]:
        """TRIC's, and `assigned_confidence`: the mean largest share in Q, 1 where nothing is in doubt."""
        more = {"assigned_confidence": float(self.assigned.amax(dim=1).mean())} if len(self.assigned) else {}
        return {**super().diagnostics(), **more}


class TricBalanced(TricAssigned):
    """Assigned in equal shares, by the classifier or by a logistic regression."""

    params: TricBalancedParams

    def after_epoch(self, progress: Progress, data: StageData) -> None:
        """Assign anew; a teacher on vectors, which do not change, assigns once."""
        if self.params.teacher == "classifier":
            self.assigned = self._shares(data.encoded("target").logits.detach())
        elif not len(self.assigned):
            unlabelled = stream_vectors(data, self.streams)
            vectors, labels = labelled_vectors("tric_balanced", data, unlabelled[0].shape[1])
            params = LogisticBalancedParams(C=self.params.teacher_C)
            linear = self_taught(params, len(self.classes), vectors, labels, [unlabelled]).linear
            self.assigned = assigned(linear, unlabelled[0]).posteriors.to(self.assigned)

    def _shares(self, logits: Tensor) -> Tensor:
        """Q `[n, C]`; without `balance` the posteriors as they are."""
        logits = logits / self.params.temperature
        return equal_shares(logits, self.params.rounds).posteriors if self.params.balance else logits.softmax(dim=1)

    def pseudo_labels(self, batch: UnlabelledBatch, support: LabelledBatch, field: ResonanceField) -> Tensor:
        """Those of utterances that took no part in the balancing: balanced among themselves."""
        return self._shares(batch.logits).argmax(dim=1)
