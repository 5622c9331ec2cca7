"""Which epoch is kept, decided without a target label: the last one, or by criteria on the posteriors of T_u."""

from __future__ import annotations

import torch
from torch import Tensor

from sere_core.functional import diversity, entropy, unit_rows
from sere_plugins.specs.selectors import SndParams
from sere_registry import BuildContext, Params

#: rows of the similarity matrix that `snd` holds at a time
ROWS = 1024


class _Selector:
    def __init__(self, params: Params, context: BuildContext) -> None: ...


class Last(_Selector):
    """Keeps the last epoch: no criterion at all, and the default."""

    keeps_last = True  # spares the trainer a copy of the state after every epoch

    def score(self, epoch: int) -> float:
        """The epoch's number."""
        return float(epoch)


class Oracle(Last):
    """What no selector may do: choose by labels of the target.

    So it chooses nothing.  The engine knows it by its tag, keeps what every epoch predicts, and leaves the choice to the
    scorer, once the fold is trained and nothing of a plugin runs.
    """


class Entropy(_Selector):
    """The negative mean entropy of the posteriors on T_u (Morerio et al. 2018).

    It prefers confidence, right or wrong: a classifier that predicts one class for everything scores highest.
    """

    def score(self, target: Tensor) -> float:
        """-mean H(p); `target` is `[n, C]`; in [-log C, 0]."""
        return -float(entropy(target.double()).mean())


class InformationMax(_Selector):
    """The mutual information of utterance and prediction on T_u: H(mean p) - mean H(p) (the two terms of SHOT's L_IM).

    The first term rewards predictions that are spread over the classes, so T_u is assumed to hold them in about equal
    numbers.
    """

    def score(self, target: Tensor) -> float:
        """H(mean p) - mean H(p); `target` is `[n, C]`; in [0, log C]."""
        posteriors = target.double()
        return float(-diversity(posteriors) - entropy(posteriors).mean())


class SoftNeighbourhoodDensity:
    """The mean entropy of each utterance's soft neighbourhood among the others of T_u (Saito et al. 2021, section 3.2).

    With posteriors f scaled to length 1, P_ij = softmax over j != i of f_i . f_j / tau; the score is mean_i H(P_i).  It is
    high where utterances have many close neighbours.
    """

    def __init__(self, params: SndParams, context: BuildContext) -> None:
        self._temperature = params.temperature

    def score(self, target: Tensor) -> float:
        """mean H(P_i); `target` is `[n, C]`; in [0, log(n - 1)]; 0 for fewer than two utterances."""
        points = unit_rows(target.double())
        if len(points) < 2:
            return 0.0
        total = 0.0
        for start in range(0, len(points), ROWS):
            rows = points[start : start + ROWS]
            similarity = rows @ points.T / self._temperature
            similarity[torch.arange(len(rows)), torch.arange(start, start + len(rows))] = -torch.inf
            total += float(entropy(similarity.softmax(dim=1)).sum())
        return total / len(points)
