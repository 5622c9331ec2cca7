"""Selection by labelled source utterances that the task holds out (`task.validation`), with or without weights for the shift.

    source_validation       (1/n) sum_i 1[argmax p_i = y_i],  or  -(1/n) sum_i l_i with l the cross-entropy
    importance_weighting    -(1/n) sum_i w_i l_i                              Sugiyama et al., JMLR 8 (2007), IWCV
    dev                     -( mean w l + eta mean w - eta ),  eta = -cov(w l, w) / var(w)
                                                                              You et al., ICML 2019, DEV

(p_i, y_i) are posteriors and labels of the n held-out utterances, l is the 0/1 error or the cross-entropy, and w the
density ratio of the two corpora, from a classifier that tells their utterances apart (n_s and n_t of them):

    w(x) = q_t(x) / q_s(x) = (n_s / n_t) p(target | x) / p(source | x)

Importance weighting takes x as it enters the network (`vectors`), so that the weights are those of every epoch; DEV
takes the embedding of the epoch, which is its idea.  mean w = 1 in expectation, so DEV's term subtracts a mean of zero
and, with this eta, as much variance as a multiple of w can.

Deviations: the classifier is a logistic regression on standardised features (as in skada; the authors' code has a small
perceptron), its log-odds are cut at 30 so that no weight overflows, and eta is 0 where the weights do not vary.  All
held-out utterances are of the source: their labels are visible, and the row's protocol says how many there are.
Nothing is assumed of the target's class shares but that they are the source's: weights are for a shift of x alone.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from sere_plugins.methods.base import Array
from sere_plugins.specs.selectors import DevParams, ImportanceWeightingParams, SourceValidationParams
from sere_registry import BuildContext, error

#: the largest log-odds of a domain that count
MOST = 30.0


def losses(kind: str, posteriors: Tensor, labels: Tensor) -> Array:
    """l `[n]` of posteriors `[n, C]`: 1 where the label `[n]` is not predicted ("error"), or -log p(label) ("cross_entropy")."""
    rows = posteriors.double()
    if kind == "error":
        return (rows.argmax(dim=1) != labels).double().numpy()
    return -rows.gather(1, labels.unsqueeze(1)).squeeze(1).clamp_min(1e-12).log().numpy()


def density_ratio(source: Tensor, target: Tensor, at: Tensor, strength: float) -> Array:
    """w `[n]` at the rows of `at` `[n, D]`, from samples of the source `[n_s, D]` and of the target `[n_t, D]`.

    Args:
        strength: the inverse of the weight of the classifier's squared norm.

    Raises:
        SereError: B402 if the widths differ.
    """
    if len(widths := {rows.shape[1] for rows in (source, target, at)}) > 1:
        what = f"importance weights need one feature space, and widths are {', '.join(map(str, sorted(widths)))}"
        raise error("B402", what, "give both paths the same encoder, or use `dev`, which weighs embeddings", place="paths")
    rows = np.concatenate([source.double().numpy(), target.double().numpy()])
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    deviation[deviation < 1e-9] = 1.0
    classifier = LogisticRegression(C=strength, max_iter=1000)
    classifier.fit((rows - mean) / deviation, np.arange(len(rows)) >= len(source))
    odds = classifier.decision_function((at.double().numpy() - mean) / deviation)
    weights: Array = np.exp(np.clip(odds, -MOST, MOST)) * len(source) / len(target)
    return weights


def controlled(weights: Array, losses: Array) -> float:
    """The mean of w l with the control variate eta (w - 1), which lowers its variance.

    >>> round(controlled(np.array([0.5, 1.5]), np.array([1.0, 1.0])), 6)
    1.0
    """
    weighted = weights * losses
    spread = np.var(weights, ddof=1) if len(weights) > 1 else 0.0
    eta = -np.cov(weighted, weights)[0, 1] / spread if spread > 0 else 0.0
    return float(weighted.mean() + eta * weights.mean() - eta)


class SourceValidation:
    """The accuracy on held-out source utterances, or their negative cross-entropy.

    It asks how well the source is still classified, and says nothing of the target.
    """

    def __init__(self, params: SourceValidationParams, context: BuildContext) -> None:
        self._loss = params.loss

    def score(self, validation: Tensor, validation_labels: Tensor) -> float:
        """`validation` `[n, C]`, `validation_labels` `[n]`; the error counts as accuracy, 1 - error."""
        mean = float(losses(self._loss, validation, validation_labels).mean())
        return 1.0 - mean if self._loss == "error" else -mean


class ImportanceWeighting:
    """The negative risk on held-out source utterances, each weighing what the target has of its kind."""

    def __init__(self, params: ImportanceWeightingParams, context: BuildContext) -> None:
        self._params = params

    def score(
        self, validation: Tensor, validation_labels: Tensor, source_vectors: Tensor, target_vectors: Tensor, validation_vectors: Tensor
    ) -> float:
        """Posteriors `[n, C]` and labels `[n]`, and the vectors of the three sets, `[., F]`."""
        weights = density_ratio(source_vectors, target_vectors, validation_vectors, self._params.C)
        return -float((weights * losses(self._params.loss, validation, validation_labels)).mean())


class DeepEmbeddedValidation:
    """The negative risk, weighted in the embedding of the epoch, with a control variate."""

    def __init__(self, params: DevParams, context: BuildContext) -> None:
        self._params = params

    def score(
        self,
        validation: Tensor,
        validation_labels: Tensor,
        source_embedding: Tensor,
        target_embedding: Tensor,
        validation_embedding: Tensor,
    ) -> float:
        """Posteriors `[n, C]` and labels `[n]`, and g of the three sets, `[., D]`."""
        weights = density_ratio(source_embedding, target_embedding, validation_embedding, self._params.C)
        return -controlled(weights, losses(self._params.loss, validation, validation_labels))
