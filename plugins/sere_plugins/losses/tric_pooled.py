"""TRIC with a second opinion: a variant that is ours, not the paper's.

SERE's network hears frames and is trained by gradient; a logistic regression hears utterance vectors and is solved.  They err
differently, so here both give the classes out, both are taught them, and both answer (co-training: Blum and Mitchell,
doi:10.1145/279943.279962; the pool of C1 is logarithmic with equal weights: Genest and Zidek, doi:10.1214/ss/1177013825):

    log p_jc = 1/2 log p^net_jc + 1/2 log p^lin_jc - log Z_j                                         (C1)
    Q, v     = equal shares and offsets of p on T_u, (B1); on S_u for itself, where it is read       (C2) after every epoch
    c(j)     = argmax_c Q_jc is taught: the network by (B2) and (B3), W anew as in `logistic_balanced`    (C3)
    answer   = softmax_c( log p_jc + v_c ),  v of T_u                                                (C4; `correct`: with v or without)

Before the first epoch's end TRIC is plain and W is what `logistic_balanced` would have found alone.  Labels of the target are not
used.  Assumption, as there: about as many utterances of each class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sere_plugins.balancing import Shares, share_out
from sere_plugins.losses.tric import Tric, TricWithoutSource, needs_source
from sere_plugins.losses.tric_balanced import Given
from sere_plugins.methods.labelled_vectors import labelled_vectors
from sere_plugins.methods.logistic import Linear
from sere_plugins.methods.logistic_balanced import self_taught, taught
from sere_plugins.specs.losses import TricPooledParams
from sere_plugins.specs.methods import LogisticBalancedParams
from sere_registry import BuildContext, LabelledBatch, Progress, ResonanceField, StageData, UnlabelledBatch
from sere_registry.training import Stream

#: buffers that are empty until the first epoch ends
_LATER = ("weight", "bias", "seen", "offsets")


class _Pooled(Given):
    """Both experts.  Of the logistic regression: `weight` `[C, F]`, `bias` and `seen` `[C]`; `offsets` is v `[C]`; float64."""

    params: TricPooledParams
    weight: Tensor
    bias: Tensor
    seen: Tensor
    offsets: Tensor

    def __init__(self, params: TricPooledParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.solving = LogisticBalancedParams(C=params.C)
        self.register_buffer("weight", torch.zeros(0, context.input_dim, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(0, dtype=torch.bool))
        self.register_buffer("offsets", torch.zeros(0, dtype=torch.float64))

    # -- the two experts ----------------------------------------------------------------------------------------------

    @property
    def _linear(self) -> Linear:
        return Linear(self.weight, self.bias, self.seen, 0)

    def pooled(self, logits: Tensor, vectors: Tensor) -> Tensor:
        """log p `[n, C]` of (C1) from the classifier's logits `[n, C]` and vectors `[n, F]`; the first alone while there is no W."""
        network = (logits.detach().double() / self.params.temperature).log_softmax(dim=1)
        if not len(self.weight):
            return network
        return ((network + self._linear.logits(vectors.detach()).log_softmax(dim=1)) / 2).log_softmax(dim=1)

    # -- what they give out and learn ---------------------------------------------------------------------------------

    def after_epoch(self, progress: Progress, data: StageData) -> None:
        """(C2) and (C3)."""
        streams: tuple[Stream, ...] = ("target", "source") if needs_source(self.params) else ("target",)
        unlabelled = [data.vectors(stream) for stream in streams]
        arrays = [each.detach().cpu().double().numpy() for each in unlabelled]
        vectors, labels = labelled_vectors("tric_pooled", data, arrays[0].shape[1])
        if not len(self.weight):
            self._keep(self_taught(self.solving, len(self.classes), vectors, labels, arrays).linear)
        found = [self._shares(data.encoded(stream).logits, each) for stream, each in zip(streams, unlabelled, strict=True)]
        guesses = np.concatenate([each.given.argmax(dim=1).cpu().numpy() for each in found])
        self._keep(taught(self.solving, len(self.classes), vectors, labels, arrays, guesses))
        self.given, self.offsets = found[0].given.to(self.given), found[0].offsets

    def _shares(self, logits: Tensor, vectors: Tensor) -> Shares:
        """(C2), among the classes that have labels; no share of the others, and no offset."""
        shares = share_out(self.pooled(logits, vectors)[:, self.seen], self.params.rounds)
        given = shares.given.new_zeros(len(logits), len(self.classes))
        offsets = shares.offsets.new_zeros(len(self.classes))
        given[:, self.seen], offsets[self.seen] = shares
        return Shares(given, offsets)

    def _keep(self, linear: Linear) -> None:
        device = self.given.device
        self.weight, self.bias, self.seen = linear.weight.to(device), linear.bias.to(device), linear.seen.to(device)

    # -- what they answer ---------------------------------------------------------------------------------------------

    def predict(self, batch: UnlabelledBatch, support: LabelledBatch, field: ResonanceField | None = None) -> Tensor | None:
        """(C4) for `predict: pool`, else as `tric` does."""
        if self.params.predict != "pool":
            return super().predict(batch, support, field)
        scores = self.pooled(batch.logits, batch.vectors)
        return (scores + self.offsets if self.params.correct and len(self.offsets) else scores).softmax(dim=1)

    def pseudo_labels(self, batch: UnlabelledBatch, support: LabelledBatch, field: ResonanceField) -> Tensor:
        """What utterances that took no part in the balancing would be taken for: (C4) with v."""
        scores = self.pooled(batch.logits, batch.vectors)
        return (scores + self.offsets if len(self.offsets) else scores).argmax(dim=1)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in _LATER:
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, torch.empty_like(stored, device=self.given.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


class TricPooled(_Pooled, Tric):
    """With S_u."""


class TricPooledWithoutSource(_Pooled, TricWithoutSource):
    """Where nothing reads S_u."""


def build(params: TricPooledParams, context: BuildContext) -> TricPooled | TricPooledWithoutSource:
    """The form that the weights ask for, as of `tric`."""
    return TricPooled(params, context) if needs_source(params) else TricPooledWithoutSource(params, context)
