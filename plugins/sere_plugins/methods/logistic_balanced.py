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

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sere_core.functional import equal_shares
from sere_plugins.methods.base import Array, Labels, labelled_vectors, unlabelled_vectors
from sere_plugins.methods.logistic import Linear, Logistic, fitted
from sere_plugins.specs.methods import LogisticBalancedParams
from sere_registry import MethodContext, Stage, StageData
from sere_registry.training import Stream

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
        guesses = np.concatenate([assigned_by(linear, torch.as_tensor(stream)).argmax(dim=1).numpy() for stream in unlabelled])
        changed.append(float(np.mean(guesses != before)))
        if not changed[-1]:
            break
        before = guesses
        linear = taught(params, classes, vectors, labels, unlabelled, guesses)
        steps.append(linear.steps)
    return Taught(linear, steps, changed)


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


def assigned_by(linear: Linear, vectors: Tensor) -> Tensor:
    """Q of (B1) `[n, C]`: equal shares of the classes that have labels, none of the others."""
    shares = torch.zeros(len(vectors), len(linear.bias), dtype=linear.weight.dtype)
    if len(vectors):
        shares[:, linear.seen] = equal_shares(linear.logits(vectors)[:, linear.seen], SCALINGS).posteriors
    return shares


class LogisticBalanced(Logistic):
    """One stage that fits W `[C, F]` and b `[C]` to S_l and to its own guesses on what has no labels."""

    name = "logistic_balanced"
    params: LogisticBalancedParams

    def __init__(self, params: LogisticBalancedParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.unlabelled: tuple[Stream, ...] = ("target", "source") if params.use_source else ("target",)

    def stages(self) -> Sequence[Stage]:
        return [Stage(self.name, sees=frozenset({"labelled", *self.unlabelled}), solve=self.solve)]

    def solve(self, data: StageData) -> Mapping[str, Sequence[float]]:
        """Fit, guess, and fit again, in float64.

        Returns:
            `error` (the share of S_l predicted wrongly at the end); by round, `steps` of the solver and `changed` (the
            share of pseudo-labels that are others than in the round before; 1 for the first).

        Raises:
            SereError: B402 if the two paths' vectors differ in width.
        """
        vectors, labels = labelled_vectors(self.name, data, self.weight.shape[1])
        unlabelled = unlabelled_vectors(data, self.unlabelled)
        found = self_taught(self.params, self.classes, vectors, labels, unlabelled)
        self.keep(self._corrected(found.linear, torch.as_tensor(unlabelled[0])) if self.params.correct else found.linear)
        return {"error": [self.error(vectors, labels)], "steps": [float(count) for count in found.steps], "changed": found.changed}

    def _corrected(self, linear: Linear, target: Tensor) -> Linear:
        """b + v instead of b."""
        if not len(target):
            return linear
        bias = linear.bias.clone()
        bias[linear.seen] += equal_shares(linear.logits(target)[:, linear.seen], SCALINGS).offsets
        return linear._replace(bias=bias)
