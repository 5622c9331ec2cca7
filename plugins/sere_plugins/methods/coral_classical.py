"""CORAL (Sun, Feng, Saenko, AAAI 2016, arXiv:1511.05547): source vectors get the target's covariance, then are classified with.

    x' = C_s^{-1/2} C_t^{1/2} applied to x - m_s,   C = cov + ridge I                     (whiten and recolour, algorithm 1)

The classifier is fitted to the x' of S_l and predicts from x - m_t.  m_s and C_s are those of S_l and, with `use_source`,
S_u; m_t and C_t those of T_u.  Powers come from the singular vectors of the centred rows, at the cost of n^2 d: the ridge
is what C is outside their span.  Without a ridge C may be singular; its null space is then left out (pseudo-inverse).

The paper and the public code (transferlearning `CORAL.py`) take vectors as they are, which for standardised ones is the
same but for the means; here each domain is centred by its own, as the paper's preparation of data does.  Nothing is assumed of
class shares, but that both domains mix classes alike: where they do not, class differences are taken for domain differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sere_plugins.methods.projected import Given, Projected
from sere_plugins.specs.closed_form import CoralClassicalParams
from sere_registry import MethodContext
from sere_registry.guard import warn


class Covariance(NamedTuple):
    """Of rows `[n, F]`: their `mean` `[F]`, and axes `[F, k]` with the `values` `[k]` of cov along them, all above 0."""

    mean: Tensor
    axes: Tensor
    values: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> Covariance:
        mean = rows.mean(dim=0)
        _, singular, axes = torch.linalg.svd(rows - mean, full_matrices=False)
        kept = singular > 1e-10 * rows.norm()
        return cls(mean, axes[kept].T, singular[kept].square() / max(len(rows) - 1, 1))

    def times_power(self, rows: Tensor, power: float, ridge: float) -> Tensor:
        """`rows (cov + ridge I)^power`; a negative power of 0 is 0."""
        outside = ridge**power if ridge else 0.0
        return outside * rows + (rows @ self.axes) * ((self.values + ridge) ** power - outside) @ self.axes.T


def recolour(rows: Tensor, source: Covariance, target: Covariance, ridge: float) -> Tensor:
    """`(x - m_s) C_s^{-1/2} C_t^{1/2}` of rows `[n, F]`."""
    return target.times_power(source.times_power(rows - source.mean, -0.5, ridge), 0.5, ridge)


class CoralClassical(Projected):
    """The common space is the target's, centred: m = F."""

    name = "coral_classical"
    params: CoralClassicalParams
    mean: Tensor

    def __init__(self, params: CoralClassicalParams, context: MethodContext) -> None:
        super().__init__(params, context, context.input_dim)
        self.register_buffer("mean", torch.zeros(context.input_dim))

    def fit(self, given: Given) -> Mapping[str, Sequence[float]]:
        """Recolour S_l and fit the classifier; traces the ranks of both covariances (below F they are singular)."""
        source, target = Covariance.of(given.source), Covariance.of(given.target)
        if not self.params.ridge and not (len(source.values) and len(target.values)):
            warn(self.name, "spread", f"{self.name}: the source or the target does not vary, and there is no ridge: all vectors become 0")
        self.mean.copy_(target.mean)
        self.classifier.fit(recolour(given.labelled, source, target, self.params.ridge), given.known)
        return {"source_rank": [float(len(source.values))], "target_rank": [float(len(target.values))]}

    def embed(self, vectors: Tensor) -> Tensor:
        return vectors - self.mean
