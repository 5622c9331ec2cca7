"""Soft neighbourhood density."""

from __future__ import annotations

import torch
from torch import Tensor

from sere_plugins.selectors.posteriors import entropy
from sere_plugins.specs.selectors import SndParams
from sere_registry import BuildContext

#: rows of the similarity matrix at a time
_ROWS = 1024


class SoftNeighbourhoodDensity:
    """The mean entropy of each utterance's soft neighbourhood among the others of T_u (Saito et al. 2021, section 3.2).

    With posteriors f scaled to length 1, P_ij = softmax over j != i of f_i . f_j / tau; the score is mean_i H(P_i).  It is
    high where utterances have many close neighbours.
    """

    def __init__(self, params: SndParams, context: BuildContext) -> None:
        self._temperature = params.temperature

    def score(self, target: Tensor) -> float:
        """mean H(P_i); `target` is `[n, C]`; in [0, log(n - 1)]; 0 for fewer than two utterances."""
        points = torch.nn.functional.normalize(target.double(), dim=1)
        if len(points) < 2:
            return 0.0
        total = 0.0
        for start in range(0, len(points), _ROWS):
            rows = points[start : start + _ROWS]
            similarity = rows @ points.T / self._temperature
            similarity[torch.arange(len(rows)), torch.arange(start, start + len(rows))] = -torch.inf
            total += float(entropy(similarity.softmax(dim=1)).sum())
        return total / len(points)
