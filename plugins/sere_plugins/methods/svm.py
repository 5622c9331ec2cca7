"""A support vector machine on utterance vectors (Cortes and Vapnik, 1995): a source-only floor in closed form (convex problems).

For every two classes i < j, on the vectors of S_l as the engine normalises them:

    min_{w,b,xi} 1/2 ||w||^2 + C sum_n xi_n   subject to   y_n (w . phi(x_n) + b) >= 1 - xi_n,  xi_n >= 0,  y = +1 for i, -1 for j
    kernel k(x, x') = x . x'  or  exp(-gamma ||x - x'||^2)

scikit-learn's SVC (libsvm) solves them.  What is kept are tensors: for the linear kernel one w per pair, else the support
vectors and each pair's coefficients of them.  So a record needs neither pickle nor scikit-learn to predict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import torch
from sklearn.svm import SVC
from torch import Tensor

from sere_core.functional import ResizableBuffers, distances
from sere_plugins.methods.base import Array, OwnLosses, labelled_vectors, training_error
from sere_plugins.specs.methods import SvmParams
from sere_registry import MethodContext, Stage, StageData, UnlabelledBatch


class Svm(ResizableBuffers, OwnLosses):
    """One stage that fits a machine for each of the P = C(C-1)/2 pairs of classes; neither target nor backbone is touched.

    Buffers: `weight` `[P, F]` (linear) or `[P, n]` over the `support` vectors `[n, F]` (rbf), `bias` `[P]`, `gamma`, and
    `sides` `[P, C]`, +1 for the first class of a pair and -1 for the second; zeros where one of them has no labels.
    """

    vectors_only = True
    params: SvmParams
    support: Tensor
    weight: Tensor
    bias: Tensor
    gamma: Tensor
    sides: Tensor
    seen: Tensor

    def __init__(self, params: SvmParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.resizable = {"support": 0, "weight": 1} if params.kernel == "rbf" else {}
        self.pairs = list(combinations(range(self.classes), 2))
        self.register_buffer("support", torch.zeros(0, context.input_dim))
        self.register_buffer("weight", torch.zeros(len(self.pairs), context.input_dim if params.kernel == "linear" else 0))
        self.register_buffer("bias", torch.zeros(len(self.pairs)))
        self.register_buffer("gamma", torch.zeros(()))
        self.register_buffer("sides", torch.zeros(len(self.pairs), self.classes))
        self.register_buffer("seen", torch.ones(self.classes, dtype=torch.bool))

    def stages(self) -> Sequence[Stage]:
        return [Stage("svm", sees=frozenset({"labelled"}), solve=self.solve)]

    def solve(self, data: StageData) -> Mapping[str, Sequence[float]]:
        """Fit in float64; a class without labels is never predicted.

        Returns:
            `error` (the share of S_l predicted wrongly) and the number of `support_vectors`.

        Raises:
            SereError: B402 if the two paths' vectors differ in width.
        """
        vectors, labels = labelled_vectors("svm", data, self.support.shape[1])
        present = np.unique(labels).tolist()
        self.seen.fill_(False)[present] = True
        self.sides.zero_()
        self.weight.zero_()
        count = 0
        if len(present) > 1:
            chosen = self.params
            gamma = 1 / (vectors.shape[1] * (vectors.var() or 1.0)) if chosen.gamma == "scale" else chosen.gamma
            self.gamma.fill_(gamma)
            weights = None if chosen.class_weight == "none" else "balanced"
            found = SVC(C=chosen.C, kernel=chosen.kernel, gamma=gamma, class_weight=weights)
            self._take(found.fit(vectors, labels), present)
            count = len(found.support_)
        posteriors = self._posteriors(torch.as_tensor(vectors).to(self.weight))
        return {"error": [training_error(posteriors, labels)], "support_vectors": [float(count)]}

    def _take(self, found: SVC, present: list[int]) -> None:
        """Over from the fitted estimator, whose classes are those `present`."""
        coefficients, bias = pair_coefficients(found)
        if self.params.kernel == "linear":
            coefficients = coefficients @ found.support_vectors_
        else:
            self.support = torch.as_tensor(found.support_vectors_).to(self.support)
        rows = [self.pairs.index(pair) for pair in combinations(present, 2)]
        weight = self.weight.new_zeros(len(self.pairs), coefficients.shape[1])
        weight[rows] = torch.as_tensor(coefficients).to(weight)
        self.weight = weight
        self.bias[rows] = torch.as_tensor(bias).to(self.bias)
        for row in rows:
            first, second = self.pairs[row]
            self.sides[row, first], self.sides[row, second] = 1.0, -1.0

    def decisions(self, vectors: Tensor) -> Tensor:
        """`w . phi(x) + b` of every pair, `[B, P]`: above 0 for its first class."""
        if self.params.kernel == "linear":
            return vectors @ self.weight.T + self.bias
        return torch.exp(-self.gamma * distances(vectors, self.support).square()) @ self.weight.T + self.bias

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        """The softmax of each class's score: the pairs it wins, plus its bounded summed margin, which breaks ties.

        The argmax is scikit-learn's `SVC(break_ties=True)`.  The probabilities are not calibrated: a support vector
        machine has none, and scores differ by about one from a class to the next.
        """
        return self._posteriors(batch.vectors.to(self.weight.dtype))

    def _posteriors(self, vectors: Tensor) -> Tensor:
        decisions = self.decisions(vectors)
        first = (decisions > 0).to(decisions.dtype)
        votes = first @ self.sides.clamp_min(0) + (1 - first) @ (-self.sides).clamp_min(0)
        margins = decisions @ self.sides
        scores = votes + margins / (3 * (margins.abs() + 1))  # the second part is within a third of a vote
        return scores.masked_fill(~self.seen, -torch.inf).softmax(dim=-1)


def pair_coefficients(found: SVC) -> tuple[Array, Array]:
    """Of a fitted estimator: each pair's coefficients over the support vectors `[P, n]`, and intercepts `[P]`.

    libsvm keeps them by class: `dual_coef_[k - 1]` of a class's vectors is for the pair with class k above it, and
    `dual_coef_[k]` for the one below.  Of two classes scikit-learn turns all signs, so that above 0 means the second.
    """
    sizes = found.n_support_.tolist()
    ends = np.cumsum([0, *sizes])
    pairs = list(combinations(range(len(sizes)), 2))
    sign = -1.0 if len(sizes) == 2 else 1.0
    coefficients = np.zeros((len(pairs), int(ends[-1])))
    for row, (i, j) in enumerate(pairs):
        coefficients[row, ends[i] : ends[i + 1]] = sign * found.dual_coef_[j - 1, ends[i] : ends[i + 1]]
        coefficients[row, ends[j] : ends[j + 1]] = sign * found.dual_coef_[i, ends[j] : ends[j + 1]]
    return coefficients, sign * found.intercept_
