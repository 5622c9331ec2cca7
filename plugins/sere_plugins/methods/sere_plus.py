"""Labels flow within the source first, and then to the target (ours).

x^l is the mean over time of the network's layer l, standardised by the engine; of L layers the middle three count, L/2 - 1 to L/2 + 1
(as far as there are so many), which carry emotions from one language to another.  p(c | x) is the normalised geometric mean over them
of softmax(W^l x^l + b^l), and

    W^l = min_W  a sum_{i in S_l} -log p(y_i | x_i) + b sum_{j in S_u} q_j -log p(c_j | x_j) + g sum_{k in T_u} t_k -log p(c_k | x_k)
                 + 1/(2C) ||W||_F^2

where c is the argmax, and q and t the maximum, of the posteriors Q of S_u and T_u in class shares ((B1) of
`sere_core.functional.equal_shares`; of S_u always in equal ones), a and b are `labelled_weight` and `source_weight`, and g makes T_u
weigh `target_weight` times as much as S_l and S_u together.  Step 1 has a = 1 and the weaker penalty `C`, the others `taught_C`.

    0.  all x are taken free of what is said, by the engine (`task.by_text`, which this method asks for), where many say the same
    1.  from S_l alone                           -> Q of S_u
    2.  from S_l and S_u                         -> Q of T_u
    3.  from S_l, S_u and T_u   `rounds` times   -> Q of T_u

The prediction is p of the last fit with the offsets of (B1) on T_u added to its log, so it needs no batch of test utterances.  Where
the shares k of T_u are not equal, pseudo-labels follow them, and the prediction is divided by k: every class counts the same in UAR.

The vectors are those of `layer: mix, pool: true`, whose first part is what enters layer 1.  With the output of one layer there is that
one.  Of several networks side by side (`concatenation`) the middle layers of all count: their mean teaches every one.
That labels are to flow within the source first is the chain of SERE (arXiv:2604.07417); hard pseudo-labels in equal shares are
SeLa's (arXiv:1911.05371).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sere_core.functional import Shares, equal_shares
from sere_plugins.methods.balanced_self_training import SCALINGS
from sere_plugins.methods.base import Array, Labels, OwnLosses, labelled_vectors, stream_vectors, training_error
from sere_plugins.methods.label_shift import shares_trace, target_shares
from sere_plugins.methods.logistic import Linear, fitted
from sere_plugins.specs.transductive import SerePlusParams
from sere_registry import MethodContext, Stage, StageData, UnlabelledBatch
from sere_registry.training import Stream


def middle_layers(networks: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    """The columns of the middle three layers of each network, given how many hidden states it has and how wide.

    The first state enters layer 1, and is taken where there is no layer below the last, which tells the text.

    >>> [(each.start, each.stop) for each in middle_layers([(7, 10), (1, 4)])]
    [(20, 30), (30, 40), (40, 50), (70, 74)]
    >>> [(each.start, each.stop) for each in middle_layers([(4, 10), (2, 10)])]
    [(10, 20), (20, 30), (40, 50)]
    """
    found, start = [], 0
    for states, width in networks:
        middle, top = (states - 1) // 2, states - 1
        chosen = range(max(1, middle - 1), min(top - 1, middle + 1) + 1) or [0]
        found += [slice(start + layer * width, start + (layer + 1) * width) for layer in chosen]
        start += states * width
    return tuple(found)


class Pseudo(NamedTuple):
    """Vectors `[n, F]`, their labels or pseudo-labels `[n]`, and what each weighs `[n]`."""

    vectors: Array
    labels: Labels
    weights: Array


def geometric_mean(logits: Tensor) -> Tensor:
    """The log of the geometric mean of M posteriors, up to a constant: logits `[M, n, C]` -> `[n, C]`."""
    return logits.log_softmax(dim=-1).mean(dim=0)


class SerePlus(OwnLosses):
    """One stage that fits W `[M, C, H]` and b `[M, C]` of M layers to S_l and to pseudo-labels of S_u and T_u.

    H is the width of the widest layer; behind a narrower one's weights stand zeros.
    """

    name = "sere_plus"
    vectors_only = True
    params: SerePlusParams
    weight: Tensor
    bias: Tensor
    offsets: Tensor
    seen: Tensor

    def __init__(self, params: SerePlusParams, context: MethodContext) -> None:
        super().__init__(params, context)
        networks = context.networks or ((1, context.input_dim),)
        self.layers = middle_layers(networks)
        self.input_dim, width = context.input_dim, max(layer.stop - layer.start for layer in self.layers)
        self.register_buffer("weight", torch.zeros(len(self.layers), self.classes, width))
        self.register_buffer("bias", torch.zeros(len(self.layers), self.classes))
        self.register_buffer("offsets", torch.zeros(self.classes))
        self.register_buffer("seen", torch.ones(self.classes, dtype=torch.bool))

    def stages(self) -> Sequence[Stage]:
        sees: frozenset[Stream] = frozenset({"labelled", "source", "target"})
        return [Stage(self.name, sees=sees, solve=self.solve, optional=frozenset({"source"}))]

    def solve(self, data: StageData) -> Mapping[str, Sequence[float]]:
        """Steps 0 to 3, in float64; a class without labels, or of share 0, is never predicted.

        Returns:
            `error` (the share of S_l predicted wrongly), `changed` (by round, the share of T_u's pseudo-labels that are others than
            before; 1 for the first), and T_u's shares, where they are not equal.

        Raises:
            SereError: B402 if the two paths' vectors differ in width, C302 if a list of shares does not fit the classes.
        """
        vectors, labels = labelled_vectors(self.name, data, self.input_dim)
        source, target = stream_vectors(data, ("source", "target"))
        shares = None if self.params.shares == "none" else target_shares(self.params, self.name, vectors, labels, target, self.classes)
        known, changed = Pseudo(vectors, labels, np.ones(len(labels))), [1.0]

        taught = self._labelled(self._fits(known), source)
        taught = taught._replace(weights=self.params.source_weight * taught.weights)
        known = known._replace(weights=np.full(len(labels), self.params.labelled_weight))
        fits = self._fits(known, taught)
        guessed = self._labelled(fits, target, shares)
        for _ in range(self.params.rounds):
            weight = self.params.target_weight * (known.weights.sum() + taught.weights.sum()) / max(guessed.weights.sum(), 1e-12)
            fits = self._fits(known, taught, guessed._replace(weights=weight * guessed.weights))
            before, guessed = guessed, self._labelled(fits, target, shares)
            changed.append(float(np.mean(before.labels != guessed.labels)))

        for number, linear in enumerate(fits):
            self.weight[number, :, : linear.weight.shape[1]], self.bias[number] = linear.weight, linear.bias
        seen, offsets = fits[0].seen.clone(), self._in_shares(fits, target, shares).offsets.clone()
        if shares is not None:
            seen &= shares > 0
            offsets[seen] -= shares[seen].log()
        self.seen.copy_(seen)
        self.offsets.copy_(offsets)
        error = training_error(self._posteriors(torch.as_tensor(vectors).to(self.weight)), labels)
        return {"error": [error], "changed": changed, **shares_trace(shares)}

    def _fits(self, *known: Pseudo) -> list[Linear]:
        """W and b of each layer, from all that is known."""
        vectors, labels, weights = (np.concatenate(parts) for parts in zip(*known, strict=True))
        params = self.params if len(known) == 1 else self.params.model_copy(update={"C": self.params.taught_C})
        return [fitted(params, self.classes, vectors[:, layer], labels, weights) for layer in self.layers]

    def _labelled(self, fits: Sequence[Linear], vectors: Array, shares: Tensor | None = None) -> Pseudo:
        """Vectors `[n, F]` with their pseudo-labels."""
        sure, labels = self._in_shares(fits, vectors, shares).posteriors.max(dim=1)
        return Pseudo(vectors, labels.numpy(), sure.numpy())

    def _in_shares(self, fits: Sequence[Linear], vectors: Array, shares: Tensor | None) -> Shares:
        """Q `[n, C]` of (B1) and its offsets; of no vectors, or with `shares: none`, p and no offsets."""
        logits = [fit.logits(torch.as_tensor(vectors[:, layer])) for fit, layer in zip(fits, self.layers, strict=True)]
        mean = geometric_mean(torch.stack(logits))
        if self.params.shares == "none" or not len(vectors):
            return Shares(mean.softmax(dim=1), mean.new_zeros(self.classes))
        return equal_shares(mean, SCALINGS, among=fits[0].seen, given=shares)

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        """p(. | x) with the offsets of T_u; calibrated on pseudo-labels at best."""
        return self._posteriors(batch.vectors.to(self.weight.dtype))

    def _posteriors(self, vectors: Tensor) -> Tensor:
        each = [vectors[:, layer] @ weight[:, : layer.stop - layer.start].T for layer, weight in zip(self.layers, self.weight, strict=True)]
        logits = torch.stack(each) + self.bias.unsqueeze(1)
        return (geometric_mean(logits.masked_fill(~self.seen, -torch.inf)) + self.offsets).softmax(dim=1)
