"""JIASL, joint distribution implicitly aligned subspace learning (Lu et al., Electronics 11(17) 2745, 2022), reconstructed.

    min_{P,W,W_c}  ||L - P^T X_s||_F^2 + mu sum_g ||P_g||_2
                   + lambda n_s / n_t [ ||P^T (X_t - X_s W)||_F^2 + sum_c ||P^T (X_t^c - X_s^c W_c)||_F^2
                                        + tau (||W||_1 + sum_c ||W_c||_1) ]

X_s `[F + 1, n_s]` are the vectors of S_l with a constant, L `[C, n_s]` their one-hot labels, X_t those of T_u; X^c are the columns of class
c, by pseudo-label in T_u.  Each target utterance is rebuilt from few source utterances, W `[n_s, n_t]`, and from those of its class alone,
W_c, as far as the labels' regression sees; the abstract has this in place of distances between means.  P and pseudo-labels take turns.

For fixed pseudo-labels W and W_c (accelerated soft thresholding) and P (a step of `jdar` with the residuals X_t - X_s W as its gaps) take
turns, and no turn raises the (smoothed) objective.  P starts as ridge regression, W at 0.

Reconstructed from the abstract: norms of W, weights and solver are ours, n_s / n_t too: by it T_u weighs as much as S_l, whatever its
size.  A trap: with a large tau no W pays, and what is left, lambda ||P^T X_t||^2, draws the outputs of T_u to 0.  The share of W
that is not 0 is traced as `used`.  A class that no target utterance gets has no W_c.  Nothing evens out class shares.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softshrink

from sere_plugins.methods.base import shared_classes
from sere_plugins.methods.jdar import Problem
from sere_plugins.methods.regression import LabelRegression, one_hot
from sere_plugins.specs.closed_form import JiaslParams

#: steps of W between two steps of P
INNER = 50


class Rebuilding(NamedTuple):
    """Columns `targets` `[d, m]` that are rebuilt as X_s W from `source` `[d, n]`, W `[n, m]` being 0 where it is not `allowed`."""

    source: Tensor
    targets: Tensor
    allowed: Tensor

    @classmethod
    def of(cls, source: Tensor, labels: Tensor, target: Tensor, guesses: Tensor | None) -> Rebuilding:
        """All of T_u from all of S_l, then those of each class that both sides have from that class alone."""
        whole = cls(source, target, torch.ones(source.shape[1], target.shape[1], dtype=torch.bool))
        shared = shared_classes(labels, guesses)
        if guesses is None or not shared:
            return whole
        kept = torch.isin(guesses, torch.tensor(shared))
        within = labels[:, None] == guesses[kept]
        return cls(source, torch.cat([target, target[:, kept]], dim=1), torch.cat([whole.allowed, within], dim=1))

    def residual(self, w: Tensor) -> Tensor:
        """`[d, m]`."""
        return self.targets - self.source @ w

    def weights(self, p: Tensor, w: Tensor, tau: float, steps: int) -> Tensor:
        """W nearer to the minimum of `||P^T (X_t - X_s W)||_F^2 + tau ||W||_1` than `w`, by FISTA (Beck and Teboulle, 2009)."""
        a, b = p.T @ self.source, p.T @ self.targets
        bound = 2 * float(torch.linalg.matrix_norm(a, ord=2)) ** 2

        def value(w: Tensor) -> float:
            return float((b - a @ w).square().sum() + tau * w.abs().sum())

        now, ahead, momentum = w, w, 1.0
        for _ in range(steps if bound else 0):
            fresh = softshrink(ahead - 2 * a.T @ (a @ ahead - b) / bound, tau / bound) * self.allowed
            before, momentum = momentum, (1 + math.sqrt(1 + 4 * momentum**2)) / 2
            now, ahead = fresh, fresh + (before - 1) / momentum * (fresh - now)
        return now if value(now) <= value(w) else w  # momentum may overshoot


class Jiasl(LabelRegression):
    """Rebuilds the target while it regresses to labels."""

    name = "jiasl_reconstructed"
    params: JiaslParams

    def fit(self, source: Tensor, labels: Tensor, target: Tensor, guesses: Tensor | None) -> tuple[Tensor, dict[str, float]]:
        """P for fixed pseudo-labels; `objective`, `misalignment` (what is not rebuilt), `steps` and `used`."""
        rebuilding = Rebuilding.of(source, labels, target, guesses)
        p, w, objectives = self.alternate(rebuilding, labels, target.shape[1])
        missed, used = (p.T @ rebuilding.residual(w)).square().sum(), (w[rebuilding.allowed] != 0).double().mean()
        return p, {"objective": objectives[-1], "misalignment": float(missed), "steps": len(objectives), "used": float(used)}

    def alternate(self, rebuilding: Rebuilding, labels: Tensor, count: int) -> tuple[Tensor, Tensor, list[float]]:
        """P, W, and the smoothed objective after every turn (never rising); `count` is n_t."""
        chosen, x, known = self.params, rebuilding.source, one_hot(labels, self.classes)
        weight = chosen.alignment * x.shape[1] / count
        p = Problem(x, known, x[:, :0], 0.0, chosen.sparsity, chosen.axis).step(None)
        w = x.new_zeros(rebuilding.allowed.shape)
        objectives: list[float] = []
        for _ in range(chosen.iterations):
            w = rebuilding.weights(p, w, chosen.tau, INNER if weight else 0)
            problem = Problem(x, known, rebuilding.residual(w), weight, chosen.sparsity, chosen.axis)
            p = problem.step(p)
            objectives.append(problem.objective(p) + weight * chosen.tau * float(w.abs().sum()))
            if len(objectives) > 1 and objectives[-2] - objectives[-1] <= chosen.tolerance * objectives[-1]:
                break
        return p, w, objectives
