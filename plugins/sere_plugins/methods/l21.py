"""Least squares with an alignment term and an l2,1 norm, by iteratively reweighted least squares (float64).

    min_P ||L - P^T X||_F^2 + lambda tr(P^T Delta Delta^T P) + mu sum_g ||P_g||_2        g: the rows or columns of P

Each step replaces ||P_g|| by a quadratic bound that touches it at the last P; its minimum is

    P_g's weights w = 2 sqrt(||P_g||^2 + eps^2) / mu,  U = [X, sqrt(lambda) Delta],  E = [L^T; 0]
    P = (U U^T + diag(1/w))^-1 U E

so the smoothed objective (sqrt(||P_g||^2 + eps^2) for ||P_g||) never rises.  With many features and few utterances the
system is solved at the smaller side of U (push-through identity); either way the matrix is I plus a Gram matrix, so
rows that shrink to zero do no harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Axis = Literal["rows", "columns"]


@dataclass(frozen=True)
class Problem:
    """The convex problem for given pseudo-labels.

    Args:
        x: X, labelled features, `[d, n]`.
        labels: L, one-hot, `[C, n]`.
        gaps: Delta, differences of means, `[d, G]`.
        alignment: lambda.
        sparsity: mu, above 0.
        axis: whose norms are summed.
        eps: smooths the norms at 0.
    """

    x: Tensor
    labels: Tensor
    gaps: Tensor
    alignment: float
    sparsity: float
    axis: Axis = "rows"
    eps: float = 1e-6

    def misalignment(self, p: Tensor) -> float:
        """`f1 = tr(P^T Delta Delta^T P)`."""
        return (p.T @ self.gaps).square().sum().item()

    def objective(self, p: Tensor) -> float:
        """The smoothed objective at `p` `[d, C]`."""
        fit = (self.labels - p.T @ self.x).square().sum().item()
        return fit + self.alignment * self.misalignment(p) + self.sparsity * self._norms(p).sum().item()

    def step(self, p: Tensor | None) -> Tensor:
        """The minimum of the bound that touches at `p`; without one, of ridge regression with weight mu."""
        u = torch.cat([self.x, self.alignment**0.5 * self.gaps], dim=1)
        e = torch.cat([self.labels.T, self.labels.new_zeros(self.gaps.shape[1], len(self.labels))])
        count = self.x.shape[0] if self.axis == "rows" else len(self.labels)
        weights = (u.new_ones(count) if p is None else 2 * self._norms(p)) / self.sparsity
        if self.axis == "rows":
            return _weighted_ridge(u, e, weights)
        return torch.cat([_weighted_ridge(u, e[:, [c]], weights[c].expand(len(u))) for c in range(count)], dim=1)

    def _norms(self, p: Tensor) -> Tensor:
        return (p.square().sum(dim=1 if self.axis == "rows" else 0) + self.eps**2).sqrt()


def _weighted_ridge(u: Tensor, e: Tensor, weights: Tensor) -> Tensor:
    """`(U U^T + diag(1/w))^-1 U E` for U `[d, m]`, E `[m, c]`, w `[d]`, solved at min(d, m)."""
    root = weights.sqrt().unsqueeze(1)
    v = root * u
    if u.shape[1] <= len(u):
        return root * (v @ _solve(v.T @ v, e))
    return root * _solve(v @ v.T, v @ e)


def _solve(gram: Tensor, right: Tensor) -> Tensor:
    return torch.cholesky_solve(right, torch.linalg.cholesky(gram + torch.eye(len(gram), dtype=gram.dtype)))


def irls(problem: Problem, iterations: int, tolerance: float) -> tuple[Tensor, list[float]]:
    """The minimum P `[d, C]`, and the smoothed objective after every step (never rising)."""
    p = problem.step(None)
    trace = [problem.objective(p)]
    for _ in range(iterations):
        p = problem.step(p)
        trace.append(problem.objective(p))
        if trace[-2] - trace[-1] <= tolerance * trace[-1]:
            break
    return p, trace
