"""Linear regression from vectors to labels in rounds of pseudo-labels: what `jdar`, `jiasl` and `lrjda` share.

    y = argmax_c (P^T [x; 1])_c

P `[F + 1, C]` is fitted to the one-hot labels of S_l, with terms that bring T_u nearer; the constant's row of P is an
intercept.  Pseudo-labels of T_u and P take turns until the labels stay; the first P has none.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sere_plugins.methods.base import OwnLosses, labelled_vectors, stream_vectors, until_labels_stay
from sere_plugins.specs.closed_form import RegressionParams
from sere_registry import MethodContext, Stage, StageData, UnlabelledBatch


def with_constant(vectors: Tensor) -> Tensor:
    """Vectors `[n, F]` as columns with a 1 below, `[F + 1, n]`."""
    return functional.pad(vectors, (0, 1), value=1.0).T


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """L `[C, n]` in float64."""
    return functional.one_hot(labels, classes).double().T


class LabelRegression(OwnLosses):
    """One stage that solves for the projection P `[F + 1, C]`; the backbone stays as it is."""

    vectors_only = True
    name: str
    params: RegressionParams
    projection: Tensor

    def __init__(self, params: RegressionParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.register_buffer("projection", torch.zeros(context.input_dim + 1, self.classes))

    def stages(self) -> Sequence[Stage]:
        return [Stage(self.name, sees=frozenset({"labelled", "target"}), solve=self.solve)]

    @abstractmethod
    def fit(self, source: Tensor, labels: Tensor, target: Tensor, guesses: Tensor | None) -> tuple[Tensor, dict[str, float]]:
        """P `[F + 1, C]` for fixed pseudo-labels, and numbers of the round (`objective` among them).

        Args:
            source: S_l as columns with a constant, `[F + 1, n_s]`, in float64.
            labels: `[n_s]`.
            target: T_u likewise, `[F + 1, n_t]`.
            guesses: pseudo-labels `[n_t]`; None in the first round.
        """

    def solve(self, data: StageData) -> Mapping[str, Sequence[float]]:
        """Alternate pseudo-labels and `fit`, in float64.

        Returns:
            By round: the numbers of `fit` (the objective may rise when pseudo-labels change), and those of `until_labels_stay`.

        Raises:
            SereError: B402 if the two streams' vectors differ in width.
        """
        (target,) = stream_vectors(data, ["target"])
        source, known = labelled_vectors(self.name, data, target.shape[1])
        x_s, x_t, labels = with_constant(torch.as_tensor(source)), with_constant(torch.as_tensor(target)), torch.as_tensor(known)

        def fit(guesses: Tensor | None) -> tuple[Tensor, dict[str, float]]:
            p, numbers = self.fit(x_s, labels, x_t, guesses)
            self.projection.copy_(p)
            return (p.T @ x_t).argmax(dim=0), numbers

        return until_labels_stay(self.params.rounds, labels, fit)

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        """The softmax of `P^T x`: the argmax is the method's, the probabilities are not calibrated (a one-hot target differs by 1)."""
        return (with_constant(batch.vectors.to(self.projection.dtype)).T @ self.projection).softmax(dim=-1)
