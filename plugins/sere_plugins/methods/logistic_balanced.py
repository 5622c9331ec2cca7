"""Logistic regression that teaches itself, with pseudo-labels in equal shares: a baseline that is ours.

    W_0:      fitted to S_l, as `logistic`
    Q^r     = the balanced posteriors of W_{r-1} on T_u, and on S_u for itself      (B1) of `sere_core.functional.equal_shares`
    W_r:      min_W sum_{i in S_l} -log p(y_i | x_i) + w |S_l| / |U| sum_{j in U} -log p(c_j | x_j) + 1/(2C) ||W||_F^2,
              c_j = argmax_c Q^r_jc,  U = T_u and S_u

With `correct` the prediction is softmax(W x + b + v), v the offsets at which W's posteriors assign T_u in equal shares.

It has neither frames nor a field: what a method that learns from unlabelled frames has to beat.  The rounds end when no
pseudo-label changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from sere_core.functional import Shares, equal_shares
from sere_plugins.methods.base import Array, Labels
from sere_plugins.methods.logistic import Linear, Logistic, fitted
from sere_plugins.specs.methods import LogisticBalancedParams
from sere_registry import MethodContext

SCALINGS = 50


class Taught(NamedTuple):
    """The last W and b, the solver's steps by round, and by round the share of c_j that are others than in the round before."""

    linear: Linear
    steps: list[int]
    changed: list[float]


def self_taught(params: LogisticBalancedParams, classes: int, vectors: Array, labels: Labels, unlabelled: Sequence[Array]) -> Taught:
    """W_r of the last round.

    Args:
        params: C, w and the number of rounds.
        classes: C of (B1).
        vectors, labels: of S_l, `[n, F]` and `[n]`.
        unlabelled: the vectors `[m, F]` of each stream; pseudo-labels are assigned in equal shares within each.
    """
    linear = fitted(params, classes, vectors, labels)
    steps, changed = [linear.steps], []
    count = sum(len(stream) for stream in unlabelled)
    before = np.full(count, -1)
    for _ in range(params.rounds if count else 0):
        guesses = np.concatenate([shares(linear, stream).posteriors.argmax(dim=1).numpy() for stream in unlabelled])
        changed.append(float(np.mean(guesses != before)))
        if not changed[-1]:
            break
        before = guesses
        linear = taught(params, classes, vectors, labels, unlabelled, guesses)
        steps.append(linear.steps)
    return Taught(linear, steps, changed)


def shares(linear: Linear, vectors: Array) -> Shares:
    """(B1) of W's posteriors on vectors `[n, F]`, among the classes that have labels."""
    return equal_shares(linear.logits(torch.as_tensor(vectors)), SCALINGS, among=linear.seen)


def taught(
    params: LogisticBalancedParams,
    classes: int,
    vectors: Array,
    labels: Labels,
    unlabelled: Sequence[Array],
    guesses: Labels,
) -> Linear:
    """W_r of one round: `guesses` `[m]` are c_j of all `unlabelled`, in their order; the rest as for `self_taught`."""
    weights = np.ones(len(labels) + len(guesses))
    weights[len(labels) :] = params.teach_weight * len(labels) / max(len(guesses), 1)
    return fitted(params, classes, np.concatenate([vectors, *unlabelled]), np.concatenate([labels, guesses]), weights)


class LogisticBalanced(Logistic):
    """One stage that fits W `[C, F]` and b `[C]` to S_l and to its own guesses on what has no labels."""

    name = "logistic_balanced"
    params: LogisticBalancedParams

    def __init__(self, params: LogisticBalancedParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.unlabelled = ("target", "source") if params.use_source else ("target",)

    def fit(self, vectors: Array, labels: Labels, unlabelled: Sequence[Array]) -> tuple[Linear, dict[str, list[float]]]:
        """Fit, guess, and fit again; by round, `steps` of the solver and `changed` (the share of pseudo-labels that are
        others than in the round before; 1 for the first)."""
        linear, steps, changed = self_taught(self.params, self.classes, vectors, labels, unlabelled)
        if self.params.correct and len(unlabelled[0]):  # b + v instead of b
            linear = linear._replace(bias=linear.bias + shares(linear, unlabelled[0]).offsets)
        return linear, {"steps": [float(count) for count in steps], "changed": changed}
