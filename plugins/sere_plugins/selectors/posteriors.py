"""Criteria on the posteriors of T_u."""

from __future__ import annotations

import torch
from torch import Tensor

from sere_registry import BuildContext, Params


def entropy(posteriors: Tensor) -> Tensor:
    """H(p) in nats of each row, `[n, C]` -> `[n]`, in float64; 0 log 0 is 0.

    >>> entropy(torch.tensor([[1.0, 0.0], [0.5, 0.5]])).tolist()
    [0.0, 0.6931471805599453]
    """
    terms: Tensor = torch.special.entr(posteriors.double())
    return terms.sum(dim=1)


class Entropy:
    """The negative mean entropy of the posteriors on T_u (Morerio et al. 2018).

    It prefers confidence, right or wrong: a classifier that answers one class for everything scores highest.
    """

    def __init__(self, params: Params, context: BuildContext) -> None: ...

    def score(self, target: Tensor) -> float:
        """-mean H(p); `target` is `[n, C]`; in [-log C, 0]."""
        return -float(entropy(target).mean())


class InformationMax:
    """The mutual information of utterance and answer on T_u: H(mean p) - mean H(p) (the two terms of SHOT's L_IM).

    The first term rewards answers that are spread over the classes, so T_u is assumed to hold them in about equal numbers.
    """

    def __init__(self, params: Params, context: BuildContext) -> None: ...

    def score(self, target: Tensor) -> float:
        """H(mean p) - mean H(p); `target` is `[n, C]`; in [0, log C]."""
        posteriors = target.double()
        return float(entropy(posteriors.mean(dim=0, keepdim=True))[0] - entropy(posteriors).mean())
