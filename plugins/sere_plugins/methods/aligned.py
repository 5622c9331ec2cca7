"""What closed-form alignments share: two linear maps into one space, where logistic regression is fitted to S_l.

    u = A^T (x - m_s) of a source vector,   v = B^T (x - m_t) of a target vector
    min_{V,b}  sum_{i in S_l} -log p(y_i | u_i) + 1/(2C) ||V||_F^2,   p(. | u) = softmax(V u + b)

m_s is the mean of S_l and S_u, m_t that of T_u.  What is kept is the classifier as one of target vectors, W = V B^T and b - W m_t:
each is predicted by itself, from W `[C, F]` and a bias `[C]` as in `logistic`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from sere_plugins.methods.base import Array, Labels, training_error
from sere_plugins.methods.logistic import Linear, Logistic, fitted
from sere_plugins.specs.bridge import AlignedParams
from sere_registry import MethodContext
from sere_registry.guard import warn

#: eigenvalues below this share of the largest count as 0
TINY = 1e-12


class Maps(NamedTuple):
    """A and B, `[F, d]`, and what to trace."""

    source: Array
    target: Array
    trace: dict[str, list[float]]


class Aligned(Logistic):
    """One stage that aligns the two domains and fits W and b to S_l there; a subclass says how."""

    params: AlignedParams

    def __init__(self, params: AlignedParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.unlabelled = ("target", "source") if params.use_source else ("target",)

    @abstractmethod
    def align(self, source: Array, target: Array) -> Maps:
        """A and B from centred vectors `[n, F]` and `[m, F]` of the two domains, both of which vary."""

    def fit(self, vectors: Array, labels: Labels, unlabelled: Sequence[Array]) -> tuple[Linear, dict[str, list[float]]]:
        """W and b.  Where one domain does not vary, A and B are the identity: the means alone are aligned, and a warning says so."""
        target, source = unlabelled[0], np.concatenate([vectors, *unlabelled[1:]])
        centre, mean = source.mean(axis=0), target.mean(axis=0)
        source, target = source - centre, target - mean
        if varies(source) and varies(target):
            maps = self.align(source, target)
        else:
            warn(self.name, "spread", f"{self.name}: the source or the target does not vary: the means alone are aligned")
            maps = Maps(np.eye(len(mean)), np.eye(len(mean)), {})
        inputs = (vectors - centre) @ maps.source
        found = fitted(self.params, self.classes, inputs, labels)
        error = training_error(found.logits(torch.as_tensor(inputs)), labels)
        weight = found.weight @ torch.as_tensor(maps.target).T
        linear = found._replace(weight=weight, bias=found.bias - weight @ torch.as_tensor(mean))
        return linear, {"error": [error], "steps": [float(found.steps)], **maps.trace}


def varies(centred: Array) -> bool:
    """Is there more than rounding errors in centred vectors `[n, F]`?"""
    return len(centred) > 1 and bool(np.abs(centred).max() > TINY)
