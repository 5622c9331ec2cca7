"""LRJDA (Li et al., Knowledge-Based Systems 315:113260, 2025), reconstructed from its title: joint distribution adaptation of low rank.

    min_P ||L - P^T X||_F^2 + lambda tr(P^T Delta Delta^T P) + mu ||P||_*

is `jdar`'s objective with the nuclear norm in place of the row-sparse one, X `[F + 1, n_s]`, L `[C, n_s]` and Delta `[F + 1, G]`
being the same.  With U = [X, sqrt(lambda) Delta], E = [L^T; 0] and the thin U = V S R^T, P = V Q lies in the span of V, where

    min_Q ||E - R S Q||_F^2 + mu ||Q||_*

has at most n_s + G rows, however many features there are (the norm does not see V).  ADMM solves it for P' = Q, D the scaled dual:

    P' <- (2 S^2 + rho)^-1 (2 S R^T E + rho (Q - D)),   Q <- singular values of P' + D less mu / rho, at least 0,   D <- D + P' - Q

rho follows the residuals (Boyd et al., Distributed Optimization and Statistical Learning via ADMM, section 3.4.1).

All but the title, the venue and the features is reconstruction.  P has no more than C columns, so that its rank is at most C anyway:
the norm acts as shrinkage of singular values more than by rank.  With a large mu P is 0 and the first class is always predicted.
A class that no target utterance gets has no gap.  Nothing evens out class shares.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sere_plugins.methods.base import class_gaps
from sere_plugins.methods.regression import LabelRegression, one_hot
from sere_plugins.specs.closed_form import LrjdaParams


class LowRank(NamedTuple):
    """The convex problem in k coordinates: `axes` V `[F + 1, k]`, `design` R S `[m, k]` and `wanted` E `[m, C]`."""

    axes: Tensor
    design: Tensor
    wanted: Tensor
    mu: float

    @classmethod
    def of(cls, x: Tensor, labels: Tensor, gaps: Tensor, alignment: float, mu: float) -> LowRank:
        """From X `[d, n]`, one-hot L `[C, n]` and Delta `[d, G]`."""
        axes, values, right = torch.linalg.svd(torch.cat([x, alignment**0.5 * gaps], dim=1), full_matrices=False)
        wanted = torch.cat([labels.T, labels.new_zeros(gaps.shape[1], len(labels))])
        return cls(axes, right.T * values, wanted, mu)

    def objective(self, q: Tensor) -> float:
        """At P = V Q."""
        return float((self.wanted - self.design @ q).square().sum() + self.mu * torch.linalg.svdvals(q).sum())

    def solve(self, iterations: int, tolerance: float) -> tuple[Tensor, int]:
        """The minimum Q `[k, C]`, with singular values that are exactly 0, and the number of steps."""
        squares, right = self.design.square().sum(dim=0)[:, None], self.design.T @ self.wanted
        q = dual = torch.zeros_like(right)
        rho = 2 * float(squares.mean()) or 1.0
        for step in range(1, iterations + 1):
            p = (2 * right + rho * (q - dual)) / (2 * squares + rho)
            before, q = q, shrunk(p + dual, self.mu / rho)
            dual = dual + p - q
            primal, change = float((p - q).norm()), float((q - before).norm())
            if max(primal, change) <= tolerance * max(float(each.norm()) for each in (p, q, dual)):
                return q, step
            factor = 2.0 if primal > 10 * change else 0.5 if change > 10 * primal else 1.0
            rho, dual = rho * factor, dual / factor
        return q, iterations


def shrunk(matrix: Tensor, by: float) -> Tensor:
    """Singular values less `by`, at least 0: the proximal map of `by ||.||_*` (Cai et al., arXiv:0810.3286)."""
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    found: Tensor = u * (values - by).clamp_min(0) @ v
    return found


class Lrjda(LabelRegression):
    """Solves for P of low rank."""

    name = "lrjda_reconstructed"
    params: LrjdaParams

    def fit(self, source: Tensor, labels: Tensor, target: Tensor, guesses: Tensor | None) -> tuple[Tensor, dict[str, float]]:
        """P for fixed pseudo-labels; `objective`, `misalignment` (as `jdar`), `steps` of the solver and the `rank` of P."""
        chosen, delta = self.params, class_gaps(source, labels, target, guesses)
        problem = LowRank.of(source, one_hot(labels, self.classes), delta, chosen.alignment, chosen.low_rank)
        q, steps = problem.solve(chosen.iterations, chosen.tolerance)
        p = problem.axes @ q
        values = torch.linalg.svdvals(q)
        rank = int((values > 1e-9 * max(float(values[0]), 1e-9)).sum())
        misalignment = float((p.T @ delta).square().sum())
        return p, {"objective": problem.objective(q), "misalignment": misalignment, "steps": steps, "rank": rank}
