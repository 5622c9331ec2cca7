"""Entropy minimisation and information maximisation on unlabelled utterances.

    entropy_min       L = mean_j H(p_j)                                     Grandvalet and Bengio, NIPS 2004
    information_max   L = mean_j H(p_j) - w H(pbar),  pbar = mean_j p_j     L_IM of SHOT (arXiv:2002.08546, eq. 4), with w 1

The first is least where every prediction is sure, also where all are of one class.  The second pulls pbar towards equal class shares,
which it assumes; they are counted in the batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sere_core.functional import diversity, entropy, wide
from sere_plugins.specs.alignment import EntropyMinParams, InformationMaxParams
from sere_registry import BuildContext, UnlabelledBatch

#: keeps logarithms of classes that no one predicts finite, in both terms, as in SHOT's code
EPS = 1e-5


def information(posteriors: Tensor, weight: float = 1.0) -> tuple[Tensor, Tensor]:
    """mean H(p_j) and -w H(pbar) of posteriors `[B, C]`.

    >>> [round(each.item(), 3) for each in information(torch.eye(2))]
    [-0.0, -0.693]
    """
    each = -(posteriors * (posteriors + EPS).log()).sum(dim=1)
    return each.mean(), weight * diversity(posteriors, EPS)


class EntropyMin(nn.Module):
    """Sure predictions on T_u, and on S_u with `use_source`."""

    def __init__(self, params: EntropyMinParams | InformationMaxParams, context: BuildContext) -> None:
        super().__init__()
        self.reads = frozenset({"target", *(["source"] if params.use_source else [])})

    def forward(self, target: UnlabelledBatch, source: UnlabelledBatch | None = None) -> Mapping[str, Tensor]:
        posteriors = self.posteriors(target, source)
        return {"entropy": entropy(posteriors.clamp(min=torch.finfo(posteriors.dtype).tiny)).mean()}  # at 0 its gradient is infinite

    def posteriors(self, *batches: UnlabelledBatch | None) -> Tensor:
        """Of all that there are, `[B, C]`."""
        return torch.cat([wide(batch.logits) for batch in batches if batch is not None]).softmax(dim=1)


class InformationMax(EntropyMin):
    """Sure predictions, which differ."""

    def __init__(self, params: InformationMaxParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.weight = params.diversity
        self._mean: Tensor | None = None

    def forward(self, target: UnlabelledBatch, source: UnlabelledBatch | None = None) -> Mapping[str, Tensor]:
        posteriors = self.posteriors(target, source)
        self._mean = posteriors.detach().mean(dim=0)
        each, spread = information(posteriors, self.weight)
        return {"entropy": each, "diversity": spread}

    def diagnostics(self) -> Mapping[str, float]:
        """`spread` of the last step."""
        return {} if self._mean is None else {"spread": entropy(self._mean).item() / math.log(len(self._mean))}
