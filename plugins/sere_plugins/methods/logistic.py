"""Multinomial logistic regression on utterance vectors: a source-only floor in closed form (a convex problem).

    min_{W,b} sum_i -log p(y_i | x_i) + 1/(2C) ||W||_F^2,   p(. | x) = softmax(W x + b)

x_i are the vectors of S_l as the engine normalises them.  scikit-learn's lbfgs solves it; what is kept is W and b as
tensors, so that a record needs neither pickle nor scikit-learn to predict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from sere_plugins.methods.base import Array, Labels, OwnLosses, labelled_vectors, stream_vectors, training_error
from sere_plugins.specs.methods import LogisticParams
from sere_registry import MethodContext, Stage, StageData, UnlabelledBatch
from sere_registry.training import Stream


class Linear(NamedTuple):
    """W `[C, F]`, b `[C]`, which classes had labels `[C]`, and how many steps the solver took; in float64."""

    weight: Tensor
    bias: Tensor
    seen: Tensor
    steps: int = 0

    def logits(self, vectors: Tensor) -> Tensor:
        """W x + b `[n, C]` of vectors `[n, F]`; minus infinity for a class without labels."""
        return (vectors.to(self.weight.dtype) @ self.weight.T + self.bias).masked_fill(~self.seen, -torch.inf)


def fitted(params: LogisticParams, classes: int, vectors: Array, labels: Labels, weights: Array | None = None) -> Linear:
    """The minimum, from vectors `[n, F]` with labels `[n]`, each with its weight `[n]`.

    A class without labels has zeros in W and b.
    """
    weight, bias = np.zeros((classes, vectors.shape[1])), np.zeros(classes)
    present = np.unique(labels)
    steps = 0
    if len(present) > 1:
        balance = None if params.class_weight == "none" else "balanced"
        found = LogisticRegression(C=params.C, max_iter=params.iterations, class_weight=balance)
        found.fit(vectors, labels, weights)
        rows = present[1:] if len(present) == 2 else present  # of two classes the second alone has a row: the log-odds
        weight[rows], bias[rows] = found.coef_, found.intercept_
        steps = int(found.n_iter_.max())
    return Linear(torch.as_tensor(weight), torch.as_tensor(bias), torch.as_tensor(np.isin(np.arange(classes), present)), steps)


class Logistic(OwnLosses):
    """One stage that fits W `[C, F]` and b `[C]` to S_l; neither the target nor the backbone is touched."""

    vectors_only = True
    name = "logistic"
    unlabelled: tuple[Stream, ...] = ()
    params: LogisticParams
    weight: Tensor
    bias: Tensor
    seen: Tensor

    def __init__(self, params: LogisticParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.register_buffer("weight", torch.zeros(self.classes, context.input_dim))
        self.register_buffer("bias", torch.zeros(self.classes))
        self.register_buffer("seen", torch.ones(self.classes, dtype=torch.bool))

    def stages(self) -> Sequence[Stage]:
        return [Stage(self.name, sees=frozenset({"labelled", *self.unlabelled}), solve=self.solve)]

    def solve(self, data: StageData) -> Mapping[str, Sequence[float]]:
        """Fit in float64; a class without labels is never predicted.

        Returns:
            `error` (the share of S_l predicted wrongly), and what `fit` traces.

        Raises:
            SereError: B402 if the two paths' vectors differ in width.
        """
        vectors, labels = labelled_vectors(self.name, data, self.weight.shape[-1])
        found, trace = self.fit(vectors, labels, stream_vectors(data, self.unlabelled))
        for name in ("weight", "bias", "seen"):
            getattr(self, name).copy_(getattr(found, name))
        posteriors = self._posteriors(torch.as_tensor(vectors).to(self.weight))
        return {"error": [training_error(posteriors, labels)], **trace}

    def fit(self, vectors: Array, labels: Labels, unlabelled: Sequence[Array]) -> tuple[Linear, dict[str, list[float]]]:
        """W and b, and the number of `steps` of the solver."""
        found = fitted(self.params, self.classes, vectors, labels)
        return found, {"steps": [float(found.steps)]}

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        """p(. | x): the model's own posteriors, calibrated on S_l at best and not across languages."""
        return self._posteriors(batch.vectors.to(self.weight.dtype))

    def _posteriors(self, vectors: Tensor) -> Tensor:
        return Linear(self.weight, self.bias, self.seen).logits(vectors).softmax(dim=-1)
