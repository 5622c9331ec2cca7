"""Logistic regression that teaches itself, with pseudo-classes in equal shares: a baseline that is ours.

    W_0:      fitted to S_l, as `logistic`
    Q^r     = the balanced posteriors of W_{r-1} on T_u, and on S_u for itself      (B1) of `sere_plugins.balancing`
    W_r:      min_W sum_{i in S_l} -log p(y_i | x_i) + w |S_l| / |U| sum_{j in U} -log p(c_j | x_j) + 1/(2C) ||W||_F^2,
              c_j = argmax_c Q^r_jc,  U = T_u and S_u

It has neither frames nor a field: what a method that learns from unlabelled frames has to beat.  The rounds end when no
pseudo-class changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from sere_plugins.balancing import balanced
from sere_plugins.methods.labelled_vectors import labelled_vectors, training_error
from sere_plugins.methods.logistic import Logistic
from sere_plugins.specs.methods import LogisticBalancedParams
from sere_registry import MethodContext, Stage, StageData
from sere_registry.protocols import Stream

SCALINGS = 50


class LogisticBalanced(Logistic):
    """One stage that fits W `[C, F]` and b `[C]` to S_l and to its own guesses on what has no labels."""

    name = "logistic_balanced"

    def __init__(self, params: LogisticBalancedParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.teaching = params
        self.unlabelled: tuple[Stream, ...] = ("target", "source") if params.use_source else ("target",)

    def stages(self) -> Sequence[Stage]:
        return [Stage(self.name, sees=frozenset({"labelled", *self.unlabelled}), solve=self.solve)]

    def solve(self, data: StageData) -> Mapping[str, Sequence[float]]:
        """Fit, guess, and fit again, in float64.

        Returns:
            By round: `error` (the share of S_l answered wrongly), `steps` of the solver and `changed` (the share of
            pseudo-classes that are others than in the round before; 1 for the first).

        Raises:
            SereError: B402 if the two paths' vectors differ in width.
        """
        vectors, labels = labelled_vectors(self.name, data, self.weight.shape[1])
        trace: dict[str, list[float]] = {"error": [], "steps": [self.fit(vectors, labels)], "changed": []}
        streams = [data.vectors(stream).to(self.weight) for stream in self.unlabelled]
        every = np.concatenate([vectors, *(stream.double().cpu().numpy() for stream in streams)])
        count = len(every) - len(labels)
        weights = np.ones(len(every))
        weights[len(labels) :] = self.teaching.teach_weight * len(labels) / max(count, 1)
        before = torch.full((count,), -1)
        for _ in range(self.teaching.rounds if count else 0):
            guesses = torch.cat([self._guessed(stream) for stream in streams])
            trace["changed"].append(float((guesses != before).double().mean()))
            if torch.equal(guesses, before):
                break
            before = guesses
            trace["steps"].append(self.fit(every, np.concatenate([labels, guesses.cpu().numpy()]), weights))
        trace["error"].append(training_error(self._posteriors(torch.as_tensor(vectors).to(self.weight)), labels))
        return trace

    def _guessed(self, vectors: torch.Tensor) -> torch.Tensor:
        """c_j of one corpus' utterances `[n]`, among the classes that have labels."""
        known = self.seen.nonzero()[:, 0]
        if not len(vectors):
            return known.new_zeros(0)
        logits = vectors @ self.weight[known].T + self.bias[known]
        return known[balanced(logits, SCALINGS).argmax(dim=1)]
