"""Logistic regression that teaches itself, with pseudo-labels in class shares (as in SeLa, arXiv:1911.05371).

    W_0:      fitted to S_l, as `logistic`
    Q^r     = softmax(gamma log p + v) of W_{r-1} on a stream, its rows summing to 1, its columns to n k_c
              ((B1) of `sere_core.functional.equal_shares`)
    W_r:      min_W sum_{i in S_l} -log p(y_i | x_i) + t |S_l| / |U| sum_{j in U_r} q_j -log p(c_j | x_j) + 1/(2C) ||W||_F^2
              c_j = argmax_c Q^r_jc,  U_r = the r / R of U of each class whose max_c Q^r_jc is largest,  q_j = max_c Q^r_jc

`flow` orders the streams: S_u first, whose last pseudo-labels then stay, or T_u alone, or both at once (U = T_u and S_u, in
shares each for itself).  SeLa trains a network on Q; here a convex problem is solved in each round.  `join` and `confidence` are
not SeLa's: they are self-training's usual order, sure utterances first.

`logistic_balanced` is the same with other defaults: all of U joins in each round (`join: all`), with weight 1 (`confidence` off),
gamma 1, both streams at once.  Its rounds end when no pseudo-label changes; with `join: ramp` there are R of them.

Class shares: `equal` assumes T_u, and S_u, to be balanced; `estimated` takes for each stream what EM finds (`label_shift`); a list
is of T_u, and S_u stays in equal shares.  With `correct` the prediction is softmax(W x + b + v), v the offsets of W on T_u.  Pseudo-labels
follow the shares k of T_u; the prediction is divided by them, since every class counts the same in UAR.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sere_core.functional import Shares, equal_shares
from sere_plugins.methods.base import Array, Labels
from sere_plugins.methods.label_shift import shares_trace, target_shares
from sere_plugins.methods.logistic import Linear, Logistic, fitted
from sere_plugins.specs.transductive import BalancedSelfTrainingParams
from sere_registry import MethodContext
from sere_registry.training import Stream

SCALINGS = 50
#: the streams that are taught together, in order
FLOWS: dict[str, tuple[tuple[Stream, ...], ...]] = {
    "both": (("target", "source"),),
    "source_first": (("source",), ("target",)),
    "target": (("target",),),
}


class Pool(NamedTuple):
    """What a fit is made of: vectors `[n, F]`, labels `[n]` and weights `[n]`; the first `labelled` rows are S_l."""

    vectors: Array
    labels: Labels
    weights: Array
    labelled: int


class Taught(NamedTuple):
    """The last W and b, the solver's steps by round, and by round the share of c_j that are others than in the round before."""

    linear: Linear
    steps: list[int]
    changed: list[float]


def pooled(vectors: Array, labels: Labels) -> Pool:
    """S_l alone."""
    return Pool(vectors, labels, np.ones(len(labels)), len(labels))


def self_taught(
    params: BalancedSelfTrainingParams,
    classes: int,
    vectors: Array,
    labels: Labels,
    groups: Sequence[Sequence[Array]],
    shares: Sequence[Sequence[Tensor | None]] = (),
) -> Taught:
    """W_r of the last round.

    Args:
        params: C, t, the number of rounds, and who joins with what weight.
        classes: C of (B1).
        vectors, labels: of S_l, `[n, F]` and `[n]`.
        groups: the vectors `[m, F]` of the streams that are taught together, group after group.
        shares: k `[C]` of each of these streams; none, or None: equal ones.
    """
    linear, pool = fitted(params, classes, vectors, labels), pooled(vectors, labels)
    steps, changed = [linear.steps], []
    for number, group in enumerate(groups):
        given = shares[number] if shares else [None] * len(group)
        together, larger = np.concatenate(list(group)), pool
        before = np.full(len(together), -1)
        for turn in range(params.rounds if len(together) else 0):
            found = torch.cat([assigned(linear, stream, params.gamma, k).posteriors for stream, k in zip(group, given, strict=True)])
            guesses, sure = found.argmax(dim=1).numpy(), found.amax(dim=1).numpy()
            changed.append(float(np.mean(guesses != before)))
            if not changed[-1] and params.join == "all":
                break
            before = guesses
            part = (turn + 1) / params.rounds if params.join == "ramp" else 1.0
            linear, larger = taught(params, classes, pool, together, guesses, sure, part)
            steps.append(linear.steps)
        pool = larger
    return Taught(linear, steps, changed)


def assigned(linear: Linear, vectors: Array, gamma: float = 1.0, shares: Tensor | None = None) -> Shares:
    """(B1) of W's posteriors to the power gamma on vectors `[n, F]`, among the classes that have labels."""
    logits = linear.logits(torch.as_tensor(vectors))
    return equal_shares(logits if gamma == 1 else gamma * logits, SCALINGS, among=linear.seen, given=shares)


def taught(
    params: BalancedSelfTrainingParams,
    classes: int,
    pool: Pool,
    vectors: Array,
    guesses: Labels,
    sure: Array | None = None,
    part: float = 1.0,
) -> tuple[Linear, Pool]:
    """W of one round, and what it was fitted to.

    Args:
        pool: what has its labels already.
        vectors, guesses: U `[m, F]` and c `[m]`.
        sure: max_c Q_jc `[m]`, where `part` or the weights depend on it.
        part: the surest part of each class that joins; the weights are those out of all m.
    """
    weights = np.full(len(guesses), params.teach_weight * pool.labelled / max(len(guesses), 1))
    if sure is not None and params.confidence:
        weights = weights * sure
    if sure is not None and part < 1:
        classes_of = [np.flatnonzero(guesses == each) for each in np.unique(guesses)]
        surest = [rows[np.argsort(-sure[rows], kind="stable")[: int(np.ceil(part * len(rows)))]] for rows in classes_of]
        kept = np.sort(np.concatenate(surest))
        vectors, guesses, weights = vectors[kept], guesses[kept], weights[kept]
    larger = Pool(
        np.concatenate([pool.vectors, vectors]),
        np.concatenate([pool.labels, guesses]),
        np.concatenate([pool.weights, weights]),
        pool.labelled,
    )
    return fitted(params, classes, *larger[:3]), larger


class BalancedSelfTraining(Logistic):
    """One stage that fits W `[C, F]` and b `[C]` to S_l and to its own guesses on what has no labels."""

    name = "balanced_self_training"
    params: BalancedSelfTrainingParams

    def __init__(self, params: BalancedSelfTrainingParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.flow = FLOWS[params.flow]
        self.unlabelled = tuple(stream for group in self.flow for stream in group)

    def fit(self, vectors: Array, labels: Labels, unlabelled: Sequence[Array]) -> tuple[Linear, dict[str, list[float]]]:
        """Fit, guess, and fit again; by round, `steps` of the solver and `changed` (the share of pseudo-labels that are
        others than in the round before; 1 for the first), and T_u's shares, where they are not equal."""
        streams = dict(zip(self.unlabelled, unlabelled, strict=True))
        shares = {
            name: target_shares(self.params, self.name, vectors, labels, rows, self.classes)
            if name == "target" or self.params.shares == "estimated"
            else None
            for name, rows in streams.items()
        }
        groups = [[streams[name] for name in group] for group in self.flow]
        given = [[shares[name] for name in group] for group in self.flow]
        linear, steps, changed = self_taught(self.params, self.classes, vectors, labels, groups, given)
        if self.params.correct and len(streams["target"]):  # b + v instead of b
            offsets = assigned(linear, streams["target"], self.params.gamma, shares["target"]).offsets
            linear = linear._replace(bias=linear.bias + offsets)
        if (k := shares["target"]) is not None:
            seen = linear.seen & (k > 0)
            linear = linear._replace(bias=torch.where(seen, linear.bias - k.clamp_min(1e-300).log(), 0.0), seen=seen)
        return linear, {"steps": [float(count) for count in steps], "changed": changed, **shares_trace(shares["target"])}


class LogisticBalanced(BalancedSelfTraining):
    """The same with the defaults of `logistic_balanced`."""

    name = "logistic_balanced"
