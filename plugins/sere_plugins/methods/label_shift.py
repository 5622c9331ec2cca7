"""The class shares of T_u, as a method is told to take them: equal, listed, or estimated by EM (arXiv:1901.06852).

    p(c | x) ~ exp(beta (w_c . x) + b_c)                          beta, b: least cross-entropy on held-out utterances of S_l
    r_ic      = p(c | x_i) k_c / s_c / sum_c' p(c' | x_i) k_c' / s_c'
    k        <- (1 - d) mean_{i in T_u} r_i + d s                  s: the shares in S_l, where k starts

w is a logistic regression fitted to S_l; beta and b are bias-corrected temperature scaling, without which EM takes the errors
of overconfident posteriors for shares.  Held out is one utterance of each class at a time (at most ten parts), so that no fit
lacks more of one class than of another; a class with a single utterance is not calibrated.

Deviations: d (`damping`, ours) is a Dirichlet prior around s: with d = 0 EM often empties a class whose posteriors are wrong
across languages.  beta and b are bounded, since few held-out utterances may be predicted without an error.
Assumption: languages differ in class shares alone, p(x | c) being equal; they do not, so this is a guess.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from sere_plugins.methods.base import Array, Labels
from sere_plugins.methods.logistic import Linear, fitted
from sere_plugins.specs.methods import LogisticParams
from sere_plugins.specs.transductive import LabelPropagationParams, SerePlusParams, SharesParams
from sere_registry import error
from sere_registry.guard import warn

PARTS, STEPS = 10, 1000


class Calibration(NamedTuple):
    """beta and b `[C]`, and how many held-out utterances they are fitted to (0: beta 1 and b 0)."""

    scale: float
    bias: Tensor
    number: int

    def posteriors(self, logits: Tensor) -> Tensor:
        """p `[n, C]` of logits `[n, C]`."""
        return (self.scale * logits + self.bias).softmax(dim=1)


def held_out(params: LogisticParams, classes: int, vectors: Array, labels: Labels) -> tuple[Tensor, Tensor]:
    """Logits `[m, C]` of the utterances of S_l by fits without them, and their labels `[m]`; without those that have no fit."""
    ranks = np.array([np.sum(labels[:row] == label) for row, label in enumerate(labels)], dtype=np.int64) % PARTS
    logits, kept = [], []
    for part in np.unique(ranks):
        out = ranks == part
        if out.all():
            continue
        linear = fitted(params, classes, vectors[~out], labels[~out])
        known = out & linear.seen.numpy()[labels]
        logits.append(linear.logits(torch.as_tensor(vectors[known])))
        kept.append(torch.as_tensor(labels[known]))
    return (torch.cat(logits), torch.cat(kept)) if logits else (torch.zeros(0, classes).double(), torch.zeros(0).long())


def calibration(logits: Tensor, labels: Tensor) -> Calibration:
    """beta and b of least cross-entropy on held-out logits `[m, C]` with labels `[m]`."""
    classes = logits.shape[1]
    if not len(labels):
        return Calibration(1.0, torch.zeros(classes).double(), 0)
    rows, finite = torch.arange(len(labels)), logits.masked_fill(logits.isinf(), 0.0)

    def cost(point: Array) -> tuple[float, Array]:
        scores = (point[0] * logits + torch.as_tensor(point[1:])).log_softmax(dim=1)
        gaps = scores.exp()
        gaps[rows, labels] -= 1
        slope = torch.cat([(gaps * finite).sum().reshape(1), gaps.sum(dim=0)]) / len(labels)
        return -float(scores[rows, labels].mean()), slope.numpy()

    known = labels.bincount(minlength=classes) > 0
    bounds = [(0.05, 20.0), *((-5.0, 5.0) if each else (0.0, 0.0) for each in known)]
    found = minimize(cost, np.array([1.0] + [0.0] * classes), jac=True, method="L-BFGS-B", bounds=bounds).x
    return Calibration(float(found[0]), torch.as_tensor(found[1:]), len(labels))


def label_shift(posteriors: Tensor, source: Tensor, damping: float) -> Tensor:
    """k `[C]` by EM from calibrated posteriors `[n, C]` and the shares s `[C]` in S_l; a class that S_l lacks keeps 0."""
    shares = source
    ratio = posteriors / source.clamp_min(1e-12)
    for _ in range(STEPS if len(posteriors) else 0):
        joint = ratio * shares
        fresh = (1 - damping) * (joint / joint.sum(dim=1, keepdim=True).clamp_min(1e-300)).mean(dim=0) + damping * source
        fresh = fresh / fresh.sum()
        gap, shares = float((fresh - shares).abs().max()), fresh
        if gap < 1e-9:
            break
    return shares


def shares_trace(shares: Tensor | None) -> dict[str, list[float]]:
    """What a record should know of shares that are not equal."""
    return {} if shares is None else {"least_share": [float(shares.min())], "largest_share": [float(shares.max())]}


def target_shares(
    chosen: SharesParams | LabelPropagationParams | SerePlusParams, name: str, vectors: Array, labels: Labels, target: Array, classes: int
) -> Tensor | None:
    """k `[C]` in float64 as `shares` says, with sum 1 over the classes that have labels; None for equal ones.

    Args:
        name: of the method, for messages.
        vectors, labels: of S_l, `[n, F]` and `[n]`.
        target: `[m, F]`, of the stream whose shares are meant.

    Raises:
        SereError: C302 if a list of shares does not fit the classes.
    """
    if isinstance(chosen.shares, tuple):
        given = torch.tensor(chosen.shares, dtype=torch.float64)
        if len(given) != classes:
            raise error("C302", f"'{name}': {len(given)} shares for {classes} classes", place="method.params.shares")
        given[np.setdiff1d(np.arange(classes), labels)] = 0.0
        if not given.any():
            raise error("C302", f"'{name}': no class with labels has a share above 0", place="method.params.shares")
        return given / given.sum()
    if chosen.shares != "estimated":
        return None
    params = LogisticParams()
    linear: Linear = fitted(params, classes, vectors, labels)
    source = torch.as_tensor(np.bincount(labels, minlength=classes) / len(labels))
    calibrated = calibration(*held_out(params, classes, vectors, labels))
    if calibrated.number < len(labels):
        what = f"{len(labels) - calibrated.number} of {len(labels)} labelled utterances are the only ones of their class"
        warn(name, "calibration", f"{name}: {what}: class shares are estimated from posteriors that are not calibrated for them")
    return label_shift(calibrated.posteriors(linear.logits(torch.as_tensor(target))), source, chosen.damping)
