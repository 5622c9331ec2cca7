"""EM of class Gaussians with estimated shares, reconstructed from the abstract of Emo-TTA (arXiv:2509.25495).

    r_ic  ~ pi_c N(x_i; mu_c, Sigma) p(c | x_i)^rho                    E step, i in T_u; p: logistic regression on S_l, as a prior
    w_i   = exp(-H(r_i))                                               sure utterances weigh more
    mu_c  = (kappa sum_{S_l, c} x + sum_i w_i r_ic x_i) / (kappa n_c + sum_i w_i r_ic)                          M step
    Sigma = (1 - s) (kappa scatter of S_l + sum_i w_i r_ic (x_i - mu_c)(x_i - mu_c)^T) / (kappa n + sum_i w_i) + s (tr / F) I
    pi    = (1 - d) sum_i w_i r_i / sum_i w_i + d (shares in S_l)                                               Dirichlet prior

The start are mu, Sigma and pi of S_l alone, so that identical domains leave the source's solution; a class that T_u does not have
keeps its mean.  With one Sigma for all classes the log-odds are linear: kept are W = Sigma^-1 mu + rho W_p and b, by which any
utterance is predicted, alone.

Reconstructed: that statistics of classes are updated by EM, that predictions of the model enter as a prior and that unsure
utterances count less is the abstract's; one shared Sigma, its shrinkage s (so that F may be much larger than n), kappa, d and all
values are ours, and T_u is taken as a whole, where the paper goes through a stream.
Class shares: estimated with the means; `shares` fixes pi at equal or listed ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sere_core.functional import entropy
from sere_plugins.methods.base import Array, Labels
from sere_plugins.methods.label_shift import shares_trace, target_shares
from sere_plugins.methods.logistic import Linear, Logistic, fitted
from sere_plugins.specs.transductive import EmGaussiansParams
from sere_registry import MethodContext


def shrunk(scatter: Tensor, count: float, shrinkage: float, least: float) -> Tensor:
    """Sigma `[F, F]` from a scatter matrix of `count` utterances; `least` is the smallest mean variance."""
    covariance, width = scatter / max(count, 1e-12), len(scatter)
    mean = max(float(covariance.trace()) / width, least)
    return (1 - shrinkage) * covariance + shrinkage * mean * torch.eye(width).to(scatter)


class EmGaussians(Logistic):
    """One stage that ends in W `[C, F]` and b `[C]`."""

    name = "em_gaussians_reconstructed"
    params: EmGaussiansParams

    def __init__(self, params: EmGaussiansParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.unlabelled = ("target",)

    def fit(self, vectors: Array, labels: Labels, unlabelled: Sequence[Array]) -> tuple[Linear, dict[str, list[float]]]:
        """EM in float64; by round `changed` (the share of T_u that the round predicts otherwise), then the shares."""
        chosen = self.params
        prior = fitted(chosen, self.classes, vectors, labels)
        source, target = torch.as_tensor(vectors), torch.as_tensor(unlabelled[0])
        given = functional.one_hot(torch.as_tensor(labels), self.classes).double()
        counts = given.sum(dim=0)
        known = counts / counts.sum()
        estimated = chosen.shares == "estimated"
        listed = None if estimated else target_shares(chosen, self.name, vectors, labels, unlabelled[0], self.classes)
        shares = known if estimated else prior.seen.double() / prior.seen.sum() if listed is None else listed
        means = given.T @ source / counts.clamp_min(1).unsqueeze(1)
        inside = source - means[torch.as_tensor(labels)]
        scatter = inside.T @ inside
        spread = torch.cat([source, target]).var(dim=0, correction=0).mean()
        least = 1e-3 * float(spread) or 1.0
        if not scatter.any():  # one utterance of each class says nothing of what lies within them
            scatter = len(source) * spread * torch.eye(source.shape[1]).double()
        sums, covariance = given.T @ source, shrunk(scatter, len(source), chosen.shrinkage, least)
        linear, before, changed = self._linear(means, covariance, shares, prior), torch.full((len(target),), -1), list[float]()
        for _ in range(chosen.rounds):
            resolved = linear.logits(target).softmax(dim=1)
            changed.append(float((resolved.argmax(dim=1) != before).double().mean()))
            if not changed[-1]:
                break
            before = resolved.argmax(dim=1)
            weighted = torch.exp(-entropy(resolved)).unsqueeze(1) * resolved
            mass = chosen.anchor * counts + weighted.sum(dim=0)
            fresh = (chosen.anchor * sums + weighted.T @ target) / mass.clamp_min(1e-12).unsqueeze(1)
            means = torch.where(mass.unsqueeze(1) > 1e-9, fresh, means)
            total = chosen.anchor * self._scatter(source, given, means) + self._scatter(target, weighted, means)
            covariance = shrunk(total, float(mass.sum()), chosen.shrinkage, least)
            if estimated:
                shares = (1 - chosen.damping) * weighted.sum(dim=0) / weighted.sum() + chosen.damping * known
            linear = self._linear(means, covariance, shares, prior)
        return linear, {"changed": changed, **shares_trace(shares)}

    def _scatter(self, rows: Tensor, weights: Tensor, means: Tensor) -> Tensor:
        """`sum_ic w_ic (x_i - mu_c)(x_i - mu_c)^T` of `[n, F]` and weights `[n, C]`."""
        cross = means.T @ (weights.T @ rows)
        within = (means * weights.sum(dim=0).unsqueeze(1)).T @ means
        return (rows * weights.sum(dim=1, keepdim=True)).T @ rows - cross - cross.T + within

    def _linear(self, means: Tensor, covariance: Tensor, shares: Tensor, prior: Linear) -> Linear:
        """The E step's log-odds as W and b."""
        weight = torch.cholesky_solve(means.T, torch.linalg.cholesky(covariance)).T
        bias = shares.clamp_min(1e-12).log() - (means * weight).sum(dim=1) / 2
        seen = prior.seen & (shares > 0)
        own = self.params.source_prior
        return Linear(weight + own * prior.weight, torch.where(seen, bias + own * prior.bias, 0.0), seen, prior.steps)
