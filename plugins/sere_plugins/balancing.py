"""Pseudo-classes in equal shares, by scaling rows and columns in turn.

    Q = argmax_Q  sum_jc Q_jc log p_jc + H(Q)   s.t.  sum_c Q_jc = 1,  sum_j Q_jc = n / C        (B1)

p_j is a posterior of utterance j.  The scaling is Cuturi's (arXiv:1306.0895); as a way to pseudo-labels it is due to Asano et
al. (arXiv:1911.05371).  Assumption: there are about as many utterances of each class; where not, some pseudo-classes are wrong
by construction.
"""

from __future__ import annotations

import torch
from torch import Tensor


def balanced(logits: Tensor, rounds: int) -> Tensor:
    """Q of (B1) `[n, C]` from logits `[n, C]`: rows sum to 1, columns to about n / C.

    >>> balanced(torch.tensor([[9.0, 0.0], [8.0, 0.0], [7.0, 0.0], [6.0, 0.0]]), rounds=100).argmax(dim=1)
    tensor([0, 0, 1, 1])
    """
    scores = logits.double().log_softmax(dim=1)
    share = torch.log(torch.tensor(len(scores) / scores.shape[1], dtype=torch.float64, device=scores.device))
    for _ in range(rounds):
        scores = scores + share - scores.logsumexp(dim=0)
        scores = scores - scores.logsumexp(dim=1, keepdim=True)
    return scores.exp().to(logits.dtype)
