"""TRIC with a second classifier: a variant that is ours, not the paper's.

SERE's network reads frames and is trained by gradient; a logistic regression reads utterance vectors and is solved.  They err
differently, so here both assign the pseudo-labels, both learn them, and both predict (co-training: Blum and Mitchell,
doi:10.1145/279943.279962; the pool of C1 is logarithmic with equal weights: Genest and Zidek, doi:10.1214/ss/1177013825):

    log p_jc = 1/2 log p^net_jc + 1/2 log p^lin_jc - log Z_j                                         (C1)
    Q, v     = equal shares and offsets of p on T_u, (B1); on S_u for itself, where it is read       (C2) after every epoch
    c(j)     = argmax_c Q_jc: the network learns it by (B2) and (B3), W anew as in `logistic_balanced`    (C3)
    predicted = softmax_c( log p_jc + v_c ),  v of T_u                                               (C4; `correct`: with v or without)

Before the first epoch's end TRIC is plain and W is what `logistic_balanced` would have found alone.  Labels of the target are not
used.  Assumption, as there: about as many utterances of each class.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sere_core.functional import equal_shares
from sere_plugins.losses.tric_balanced import TricAssigned
from sere_plugins.methods.balanced_self_training import pooled, self_taught, taught
from sere_plugins.methods.base import labelled_vectors, stream_vectors
from sere_plugins.methods.logistic import Linear
from sere_plugins.specs.losses import TricPooledParams
from sere_plugins.specs.transductive import LogisticBalancedParams
from sere_registry import BuildContext, LabelledBatch, Progress, ResonanceField, StageData, UnlabelledBatch


class TricPooled(TricAssigned):
    """Both experts.  Of the logistic regression: `weight` `[C, F]`, `bias` and `seen` `[C]`; `offsets` is v `[C]`; float64.

    All are empty until the first epoch ends.
    """

    params: TricPooledParams
    weight: Tensor
    bias: Tensor
    seen: Tensor
    offsets: Tensor
    resizable = dict.fromkeys(("assigned", "weight", "bias", "seen", "offsets"), 0)

    def __init__(self, params: TricPooledParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.solving = LogisticBalancedParams(C=params.C)
        self.register_buffer("weight", torch.zeros(0, context.input_dim, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(0, dtype=torch.bool))
        self.register_buffer("offsets", torch.zeros(0, dtype=torch.float64))

    def pooled(self, logits: Tensor, vectors: Tensor) -> Tensor:
        """log p `[n, C]` of (C1) from the classifier's logits `[n, C]` and vectors `[n, F]`; the first alone while there is no W."""
        network = (logits.detach().double() / self.params.temperature).log_softmax(dim=1)
        if not len(self.weight):
            return network
        linear = Linear(self.weight, self.bias, self.seen).logits(vectors.detach()).log_softmax(dim=1)
        return ((network + linear) / 2).log_softmax(dim=1)

    def after_epoch(self, progress: Progress, data: StageData) -> None:
        """(C2) and (C3)."""
        unlabelled = stream_vectors(data, self.streams)
        vectors, labels = labelled_vectors("tric_pooled", data, unlabelled[0].shape[1])
        if not len(self.weight):
            self._keep(self_taught(self.solving, len(self.classes), vectors, labels, [unlabelled]).linear)
        together = [self.pooled(data.encoded(stream).logits, data.vectors(stream)) for stream in self.streams]
        found = [equal_shares(each, self.params.rounds, among=self.seen) for each in together]
        guesses = np.concatenate([each.posteriors.argmax(dim=1).cpu().numpy() for each in found])
        self._keep(taught(self.solving, len(self.classes), pooled(vectors, labels), np.concatenate(unlabelled), guesses)[0])
        self.assigned, self.offsets = found[0].posteriors.to(self.assigned), found[0].offsets

    def _keep(self, linear: Linear) -> None:
        device = self.assigned.device
        self.weight, self.bias, self.seen = linear.weight.to(device), linear.bias.to(device), linear.seen.to(device)

    def predict(self, batch: UnlabelledBatch, support: LabelledBatch, field: ResonanceField | None = None) -> Tensor | None:
        """(C4) for `predict: pool`, else as `tric` does."""
        if self.params.predict != "pool":
            return super().predict(batch, support, field)
        return self._scores(batch, self.params.correct).softmax(dim=1)

    def pseudo_labels(self, batch: UnlabelledBatch, support: LabelledBatch, field: ResonanceField) -> Tensor:
        """Those of utterances that took no part in the balancing: (C4) with v."""
        return self._scores(batch, True).argmax(dim=1)

    def _scores(self, batch: UnlabelledBatch, correct: bool) -> Tensor:
        scores = self.pooled(batch.logits, batch.vectors)
        return scores + self.offsets if correct and len(self.offsets) else scores
