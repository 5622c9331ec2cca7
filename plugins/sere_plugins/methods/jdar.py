"""Joint distribution adaptive regression (Zhang et al., ICASSP 2021), a shallow method in closed form.

    min_P ||L - P^T X||_F^2 + lambda f1(P) + mu sum_g ||P_g||_2        g: the rows or columns of P
    f1 = ||P^T (m_s - m_t)||^2 + sum_c ||P^T (m_{s,c} - m_{t,c})||^2 = tr(P^T Delta Delta^T P)

X are the vectors of S_l and L their one-hot labels, m_s and m_t the means of S_l and T_u, m_{s,c} those of a class,
m_{t,c} those of a pseudo-label, argmax P^T x.  Pseudo-labels and P take turns until the labels stay.

P is found by iteratively reweighted least squares: ||P_g|| is replaced by a quadratic bound that touches it at the last
P, so that the smoothed objective (sqrt(||P_g||^2 + eps^2) for ||P_g||) never rises.  The minimum of the bound is

    w_g = 2 sqrt(||P_g||^2 + eps^2) / mu,  U = [X, sqrt(lambda) Delta],  E = [L^T; 0]
    P = (U U^T + diag(1/w))^-1 U E

With many features and few utterances the system is solved at the smaller side of U (push-through identity); either way
the matrix is I plus a Gram matrix, so rows that shrink to zero do no harm.

Reconstructed: the objective is known from a transcription, the solver and what follows are ours.  Vectors come as the
engine normalises them, and a constant 1 is appended (its row of P is an intercept, penalised like the others).  The
first labels come from aligning the marginal means alone.  A class that no target utterance gets has no gap.  The
norm is read as a sum over the rows of P, since the paper means to select features; `axis: columns` takes it literally.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sere_plugins.methods.base import class_gaps
from sere_plugins.methods.regression import LabelRegression, one_hot
from sere_plugins.specs.closed_form import JdarParams


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
    axis: Literal["rows", "columns"] = "rows"
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

    def solve(self, iterations: int, tolerance: float) -> tuple[Tensor, list[float]]:
        """The minimum P `[d, C]`, and the smoothed objective after every step (never rising)."""
        p = self.step(None)
        trace = [self.objective(p)]
        for _ in range(iterations):
            p = self.step(p)
            trace.append(self.objective(p))
            if trace[-2] - trace[-1] <= tolerance * trace[-1]:
                break
        return p, trace

    def _norms(self, p: Tensor) -> Tensor:
        return (p.square().sum(dim=1 if self.axis == "rows" else 0) + self.eps**2).sqrt()


def _weighted_ridge(u: Tensor, e: Tensor, weights: Tensor) -> Tensor:
    """`(U U^T + diag(1/w))^-1 U E` for U `[d, m]`, E `[m, c]`, w `[d]`, solved at min(d, m)."""

    def solve(gram: Tensor, right: Tensor) -> Tensor:
        return torch.cholesky_solve(right, torch.linalg.cholesky(gram + torch.eye(len(gram), dtype=gram.dtype)))

    root = weights.sqrt().unsqueeze(1)
    v = root * u
    return root * (v @ solve(v.T @ v, e) if u.shape[1] <= len(u) else solve(v @ v.T, v @ e))


class Jdar(LabelRegression):
    """Solves for P by reweighting."""

    name = "jdar"
    params: JdarParams

    def fit(self, source: Tensor, labels: Tensor, target: Tensor, guesses: Tensor | None) -> tuple[Tensor, dict[str, float]]:
        """P for fixed pseudo-labels; `objective`, `misalignment` (f1) and `steps` of the solver."""
        chosen = self.params
        delta = class_gaps(source, labels, target, guesses)
        problem = Problem(source, one_hot(labels, self.classes), delta, chosen.alignment, chosen.sparsity, chosen.axis)
        p, objectives = problem.solve(chosen.iterations, chosen.tolerance)
        return p, {"objective": objectives[-1], "misalignment": problem.misalignment(p), "steps": len(objectives)}
