"""Pseudo-classes in equal shares, by scaling rows and columns in turn.

    Q = argmax_Q  sum_jc Q_jc log p_jc + H(Q)   s.t.  sum_c Q_jc = 1,  sum_j Q_jc = n / C        (B1)

p_j is a posterior of utterance j.  The scaling is Cuturi's (arXiv:1306.0895); as a way to pseudo-labels it is due to Asano et
al. (arXiv:1911.05371).  Its optimum has the form Q_jc = softmax_c(log p_jc + v_c): one offset for each class, which can be kept
and added to the posterior of an utterance that took no part.  Assumption: there are about as many utterances of each class;
where not, some pseudo-classes are wrong by construction.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Shares(NamedTuple):
    """Q of (B1) `[n, C]` in the dtype of the logits, and v `[C]` in float64."""

    given: Tensor
    offsets: Tensor


def share_out(logits: Tensor, rounds: int) -> Shares:
    """Q and v from logits `[n, C]`: rows of Q sum to 1, columns to about n / C.

    >>> share_out(torch.tensor([[2.0, 0.0], [1.0, 0.0]]), rounds=100).offsets.diff().round(decimals=6)
    tensor([1.5000], dtype=torch.float64)
    """
    scores = logits.double().log_softmax(dim=1)
    offsets = scores.new_zeros(scores.shape[1])
    share = torch.log(torch.tensor(len(scores) / scores.shape[1], dtype=torch.float64, device=scores.device))
    for _ in range(rounds):
        steps = share - scores.logsumexp(dim=0)
        offsets = offsets + steps
        scores = scores + steps
        scores = scores - scores.logsumexp(dim=1, keepdim=True)
    return Shares(scores.exp().to(logits.dtype), offsets)


def balanced(logits: Tensor, rounds: int) -> Tensor:
    """Q alone.

    >>> balanced(torch.tensor([[9.0, 0.0], [8.0, 0.0], [7.0, 0.0], [6.0, 0.0]]), rounds=100).argmax(dim=1)
    tensor([0, 0, 1, 1])
    """
    return share_out(logits, rounds).given
