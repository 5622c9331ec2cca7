"""MixVal: does the model take a mixture of two target utterances for the one that prevails?  (Hu et al., NeurIPS 2023)

    x = s x_i + (1 - s) x_j,  s = 0.55;      ICE = mean 1[argmax p(x) = argmax p(x_i)]

is the interpolation consistency over pairs of utterances of T_u with one predicted class (within a cluster) and over
pairs with two (between clusters).  The first probes whether a class's region is whole, the second where its border runs.
Formula and s as in the authors' code (LHXXHB/MixVal).

Deviations: the paper ranks models by each of the two and adds the ranks, which needs all models at once; here an epoch
is scored alone, by the mean of the two (as in skada).  Pairs are fixed: each utterance with the next one of its
predicted class, and with the one half a stream away if that has another class (the authors' pairs are those of random
batches).  Speech has lengths: frames of the second are repeated or cut to the number of the first's.  Where there are
no pairs, as between the clusters of a model that predicts one class for all, the consistency counts as 0 (ours).
Nothing is assumed of the target's class shares.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sere_plugins.specs.selectors import MixValParams
from sere_registry import BuildContext
from sere_registry.protocols import Mixture


def within(predicted: Tensor) -> tuple[Tensor, Tensor]:
    """Positions `[m]` of utterances and of the next, cyclically, with the same predicted class `[n]`; classes of one have none.

    >>> within(torch.tensor([0, 1, 0, 2]))
    (tensor([0, 2]), tensor([2, 0]))
    """
    members = [(predicted == label).nonzero().squeeze(1) for label in sorted(set(predicted.tolist()))]
    pairs = [(each, each.roll(-1)) for each in members if len(each) > 1]
    nothing = predicted.new_zeros(0)
    return torch.cat([nothing, *(one for one, _ in pairs)]), torch.cat([nothing, *(other for _, other in pairs)])


def between(predicted: Tensor) -> tuple[Tensor, Tensor]:
    """Positions `[m]` of utterances and of those half a stream away, where their predicted classes `[n]` differ.

    >>> between(torch.tensor([0, 1, 0, 2]))
    (tensor([1, 3]), tensor([3, 1]))
    """
    first = torch.arange(len(predicted))
    second = first.roll(-(len(predicted) // 2))
    differ = predicted != predicted[second]
    return first[differ], second[differ]


class MixVal:
    """The mean of the interpolation consistency within and between clusters, or one of them."""

    def __init__(self, params: MixValParams, context: BuildContext) -> None:
        self._share = params.share
        self._pairs = {"both": (within, between), "within": (within,), "between": (between,)}[params.pairs]

    def score(self, target: Tensor, mixture: Mixture) -> float:
        """`target` is `[n, C]`; in [0, 1]."""
        predicted, found = target.argmax(dim=1), []
        for pairs in self._pairs:
            first, second = pairs(predicted)
            agreed = mixture(first, second, self._share).argmax(dim=1) == predicted[first] if len(first) else predicted.new_zeros(1)
            found.append(float(agreed.double().mean()))
        return sum(found) / len(found)
