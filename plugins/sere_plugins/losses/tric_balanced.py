"""TRIC with balanced pseudo-classes: a variant that is ours, not the paper's.

The paper takes as pseudo-class of u_j the label of its most resonant anchor.  A few labelled utterances are the anchors of
most of T_u then, and their classes take nearly all of it.  Here every class gets the same share of T_u:

    Q = argmax_Q  sum_jc Q_jc log p_jc + H(Q)   s.t.  sum_c Q_jc = 1,  sum_j Q_jc = |T_u| / C        (B1)

p_j is the classifier's posterior, Q is found by scaling rows and columns in turn (Cuturi, arXiv:1306.0895; as a way to
pseudo-labels: Asano et al., arXiv:1911.05371).  Three things follow:

    c(j) = argmax_c Q_jc,  a(j) = argmax of S(u_j, l) over the l of class c(j)                      (B2) in equations 7 and 8
    L_T  = CE(logits_j, c(j)), mean over the batch; the logits may be those of an altered view      (B3) the classifier is taught

Q is made anew from the whole of T_u after every epoch; the first epoch is plain TRIC's.  With `teacher: logistic` p_j is not the
classifier's but that of a logistic regression on utterance vectors that taught itself (`logistic_balanced`), and Q is made once.
Assumption: T_u holds about as many utterances of each class; where it does not, the pseudo-classes are wrong by construction.
Labels of the target are not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sere_plugins.balancing import balanced
from sere_plugins.losses.tric import Matched, Tric, TricWithoutSource, _Tric, needs_source
from sere_plugins.methods.labelled_vectors import labelled_vectors
from sere_plugins.methods.logistic_balanced import self_taught, shared_out
from sere_plugins.specs.losses import TricBalancedParams, TricSharesParams
from sere_plugins.specs.methods import LogisticBalancedParams
from sere_registry import BuildContext, Encoded, LabelledBatch, Progress, ResonanceField, StageData, UnlabelledBatch


class Given(_Tric):
    """TRIC whose classes are given out: (B2) and (B3).

    `given` `[n, C]` is Q by position in T_u; it has no rows before somebody gives classes out, and until then this is plain TRIC.
    """

    params: TricSharesParams
    given: Tensor

    def __init__(self, params: TricSharesParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.views = frozenset() if params.view == "none" or not params.teach_weight else frozenset({"target"})
        self.register_buffer("given", torch.zeros(0, len(context.classes)))

    def terms(
        self, support: LabelledBatch, source: UnlabelledBatch | None, target: UnlabelledBatch, field: ResonanceField
    ) -> Mapping[str, Tensor]:
        """TRIC's terms and `teach`, (B3)."""
        found = dict(super().terms(support, source, target, field))
        found["teach"] = self.params.teach_weight * self._teach(target)
        return found

    def _teach(self, target: UnlabelledBatch) -> Tensor:
        if not len(self.given) or self.params.teach_weight == 0:
            return target.logits.new_zeros(())
        share = self.given[target.index]
        logits = self._taught(target).logits
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return functional.cross_entropy(logits, share.to(logits) if self.params.soft else share.argmax(dim=1))

    def _taught(self, target: UnlabelledBatch) -> Encoded:
        if not self.views:
            return target
        if target.views is None:
            raise ValueError("views of `target` are declared, but the batch came without them")
        return target.views.weak if self.params.view == "weak" else target.views.strong

    def _anchored(self, support: LabelledBatch, target: UnlabelledBatch, field: ResonanceField) -> tuple[Matched, Tensor] | None:
        """(B2): the anchor is sought within the class that was given out; among all where S_l has none of that class."""
        if not len(self.given):
            return super()._anchored(support, target, field)
        classes = self.given[target.index].argmax(dim=1)
        among = classes.unsqueeze(1) == support.labels
        among |= ~among.any(dim=1, keepdim=True)
        found = Matched.find(target, support, field, both=False, among=among)
        return None if found is None else (found, support.labels[found.picks])

    def diagnostics(self) -> Mapping[str, float]:
        """TRIC's, and `given_confidence`: the mean largest share in Q, 1 where nothing is in doubt."""
        return {**super().diagnostics(), **({"given_confidence": float(self.given.amax(dim=1).mean())} if len(self.given) else {})}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        stored = state_dict.get(prefix + "given")
        if stored is not None:
            self.given = torch.empty_like(stored, device=self.given.device)
        super()._load_from_state_dict(state_dict, prefix, *args)


class _Balanced(Given):
    """Who gives the classes out."""

    params: TricBalancedParams

    def after_epoch(self, progress: Progress, data: StageData) -> None:
        """Give the classes out anew; a teacher on vectors, which do not change, gives them out once."""
        if self.params.teacher == "logistic":
            self.given = self.given if len(self.given) else self._given_by_vectors(data)
            return
        logits = data.encoded("target").logits.detach() / self.params.temperature
        self.given = balanced(logits, self.params.rounds) if self.params.balance else logits.softmax(dim=1)

    def _given_by_vectors(self, data: StageData) -> Tensor:
        target = data.vectors("target").detach().cpu().double()
        vectors, labels = labelled_vectors("tric_balanced", data, target.shape[1])
        others = [data.vectors("source").detach().cpu().double().numpy()] if needs_source(self.params) else []
        params = LogisticBalancedParams(C=self.params.teacher_C)
        linear = self_taught(params, self.given.shape[1], vectors, labels, [target.numpy(), *others]).linear
        return shared_out(linear, target).to(self.given)

    def pseudo_labels(self, batch: UnlabelledBatch, support: LabelledBatch, field: ResonanceField) -> Tensor:
        """What utterances that took no part in the balancing would be taken for: balanced among themselves."""
        logits = batch.logits / self.params.temperature
        return (balanced(logits, self.params.rounds) if self.params.balance else logits).argmax(dim=1)


class TricBalanced(_Balanced, Tric):
    """With S_u."""


class TricBalancedWithoutSource(_Balanced, TricWithoutSource):
    """Where nothing reads S_u."""


def build(params: TricBalancedParams, context: BuildContext) -> TricBalanced | TricBalancedWithoutSource:
    """The form that the weights ask for, as of `tric`."""
    return TricBalanced(params, context) if needs_source(params) else TricBalancedWithoutSource(params, context)
