"""Posteriors `[n, C]`: entropy, diversity, pseudo-labels, and pseudo-labels in given class shares."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


def entropy(posteriors: Tensor) -> Tensor:
    """`-sum_c p_c log p_c` in nats, `[..., C]` -> `[...]`; 0 log 0 is 0.

    >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
    tensor([0.6931, 0.0000])
    """
    nats: Tensor = torch.special.entr(posteriors).sum(dim=-1)
    return nats


def diversity(posteriors: Tensor, eps: float = 0.0) -> Tensor:
    """`sum_c pbar_c log(pbar_c + eps)` of `[n, C]`, pbar the mean prediction: minus its entropy.

    It is least, -log C, where pbar is uniform.  Minimised, it keeps predictions from collapsing, and assumes
    that the classes are about equally frequent.

    >>> diversity(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    tensor(-0.6931)
    """
    mean = posteriors.mean(dim=0)
    return (mean * (mean + eps).log()).sum() if eps else -entropy(mean)


def pseudo_label_loss(guide: Tensor, student: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """`(1/B) sum_j 1[max p_j >= threshold] CE(argmax p_j, q_j)`, equation 4 of FixMatch (arXiv:2001.07685).

    Divided by B, not by how many are kept, as in the authors' code; no gradient reaches the guide.

    Args:
        guide: logits `[B, C]` whose softmax is p.
        student: logits `[B, C]` whose softmax is q.
        threshold: the least confidence that teaches.

    Returns:
        The scalar, and the mask `[B]` of those that are kept.

    >>> guide = torch.tensor([[5.0, 0.0], [0.1, 0.0]])
    >>> loss, mask = pseudo_label_loss(guide, torch.zeros(2, 2), threshold=0.9)
    >>> loss, mask
    (tensor(0.3466), tensor([ True, False]))
    """
    confidence, guess = guide.detach().softmax(dim=-1).max(dim=-1)
    mask = confidence >= threshold
    each = functional.cross_entropy(student, guess, reduction="none")
    return torch.where(mask, each, 0.0).sum() / len(guess), mask


class Shares(NamedTuple):
    """Q `[n, C]` of (B1) in the dtype of the logits, and v `[C]` in float64."""

    posteriors: Tensor
    offsets: Tensor


def equal_shares(logits: Tensor, rounds: int, among: Tensor | None = None, given: Tensor | None = None) -> Shares:
    """Pseudo-labels in equal shares from logits `[n, C]`, whose softmax is p, by scaling rows and columns in turn.

        Q = argmax_Q  sum_jc Q_jc log p_jc + H(Q)   s.t.  sum_c Q_jc = 1,  sum_j Q_jc = n / C        (B1)

    The scaling is Cuturi's (arXiv:1306.0895); as a way to pseudo-labels it is due to Asano et al.
    (arXiv:1911.05371).  The optimum is Q_jc = softmax_c(log p_jc + v_c): the offsets v can be added to the log
    posterior of an utterance that took no part.  Assumption: about as many utterances of each class; where not,
    some pseudo-labels are wrong by construction.  With `given` shares k, sum_j Q_jc = n k_c: these are assumed.

    Args:
        rounds: how often columns and rows are scaled.
        among: `[C]` bool, the classes that take part; the others get no share and no offset.
        given: k `[C]`, at least 0, in any scale; a class of share 0 takes no part.

    >>> shares = equal_shares(torch.tensor([[2.0, 0.0], [1.0, 0.0]]), rounds=100)
    >>> shares.posteriors.argmax(dim=1), shares.offsets.diff().round(decimals=6)
    (tensor([0, 1]), tensor([1.5000], dtype=torch.float64))
    >>> equal_shares(torch.zeros(4, 2), rounds=1, given=torch.tensor([3.0, 1.0])).posteriors[0]
    tensor([0.7500, 0.2500])
    """
    if given is not None:
        among = given > 0 if among is None else among & (given > 0)
    if among is None:
        return _in_shares(logits, rounds)
    found = _in_shares(logits[:, among], rounds, None if given is None else given[among])
    shares = Shares(logits.new_zeros(logits.shape), found.offsets.new_zeros(logits.shape[1]))
    shares.posteriors[:, among], shares.offsets[among] = found
    return shares


def _in_shares(logits: Tensor, rounds: int, given: Tensor | None = None) -> Shares:
    scores = logits.double().log_softmax(dim=1)
    offsets = scores.new_zeros(scores.shape[1])
    share = torch.log(torch.tensor(len(scores) / scores.shape[1], dtype=torch.float64, device=scores.device))
    if given is not None:
        share = torch.log(len(scores) * given.to(scores) / given.sum())
    for _ in range(rounds):
        steps = share - scores.logsumexp(dim=0)
        offsets = offsets + steps
        scores = scores + steps
        scores = scores - scores.logsumexp(dim=1, keepdim=True)
    return Shares(scores.exp().to(logits.dtype), offsets)
