"""Functions of rows `[n, D]`, and of logits and posteriors `[n, C]`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


def wide(values: Tensor) -> Tensor:
    """At least float32: bfloat16 has too few digits for norms, means and distances; float64 stays.

    >>> wide(torch.ones(1, dtype=torch.bfloat16)).dtype, wide(torch.ones(1).double()).dtype
    (torch.float32, torch.float64)
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))


def unit_rows(rows: Tensor) -> Tensor:
    """`[..., D]` at length 1; a zero row stays one and gets gradient 0: it has no direction.

    >>> unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    norms: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    unit: Tensor = rows / norms.masked_fill(norms == 0, torch.inf)
    return unit


def entropy(posteriors: Tensor) -> Tensor:
    """`-sum_c p_c log p_c` in nats, `[..., C]` -> `[...]`; 0 log 0 is 0.

    >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
    tensor([0.6931, 0.0000])
    """
    nats: Tensor = torch.special.entr(posteriors).sum(dim=-1)
    return nats


class _Reversed(torch.autograd.Function):
    honest = False  # is the gradient that of the function, which is the identity?

    @staticmethod
    def forward(ctx: Any, values: Tensor, strength: float) -> Tensor:
        ctx.strength = -1.0 if _Reversed.honest else strength
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return -ctx.strength * grad, None


def reverse_gradient(values: Tensor, strength: float = 1.0) -> Tensor:
    """The same values; their gradient is multiplied by `-strength` (gradient reversal, arXiv:1505.07818).

    >>> x = torch.ones(2, requires_grad=True)
    >>> reverse_gradient(x, 0.5).sum().backward()
    >>> x.grad
    tensor([-0.5000, -0.5000])
    """
    return _Reversed.apply(values, strength)  # type: ignore[no-any-return, no-untyped-call]


@contextmanager
def without_reversal() -> Iterator[None]:
    """In this context `reverse_gradient` has the gradient of its function: what finite differences are compared with."""
    _Reversed.honest = True
    try:
        yield
    finally:
        _Reversed.honest = False


def diversity(posteriors: Tensor, eps: float = 0.0) -> Tensor:
    """`sum_c pbar_c log(pbar_c + eps)` of `[n, C]`, pbar the mean prediction: minus its entropy.

    It is least, -log C, where pbar is uniform.  Minimised, it keeps predictions from collapsing, and assumes
    that the classes are about equally frequent.

    >>> diversity(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    tensor(-0.6931)
    """
    mean = posteriors.mean(dim=0)
    return (mean * (mean + eps).log()).sum() if eps else -entropy(mean)


# -- pseudo-labels -------------------------------------------------------------------------------------------


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


def equal_shares(logits: Tensor, rounds: int, among: Tensor | None = None) -> Shares:
    """Pseudo-labels in equal shares from logits `[n, C]`, whose softmax is p, by scaling rows and columns in turn.

        Q = argmax_Q  sum_jc Q_jc log p_jc + H(Q)   s.t.  sum_c Q_jc = 1,  sum_j Q_jc = n / C        (B1)

    The scaling is Cuturi's (arXiv:1306.0895); as a way to pseudo-labels it is due to Asano et al.
    (arXiv:1911.05371).  The optimum is Q_jc = softmax_c(log p_jc + v_c): the offsets v can be added to the log
    posterior of an utterance that took no part.  Assumption: about as many utterances of each class; where not,
    some pseudo-labels are wrong by construction.

    Args:
        rounds: how often columns and rows are scaled.
        among: `[C]` bool, the classes that take part; the others get no share and no offset.

    >>> shares = equal_shares(torch.tensor([[2.0, 0.0], [1.0, 0.0]]), rounds=100)
    >>> shares.posteriors.argmax(dim=1), shares.offsets.diff().round(decimals=6)
    (tensor([0, 1]), tensor([1.5000], dtype=torch.float64))
    """
    if among is not None:
        found = equal_shares(logits[:, among], rounds)
        shares = Shares(logits.new_zeros(logits.shape), found.offsets.new_zeros(logits.shape[1]))
        shares.posteriors[:, among], shares.offsets[among] = found
        return shares
    scores = logits.double().log_softmax(dim=1)
    offsets = scores.new_zeros(scores.shape[1])
    share = torch.log(torch.tensor(len(scores) / scores.shape[1], dtype=torch.float64, device=scores.device))
    for _ in range(rounds):
        steps = share - scores.logsumexp(dim=0)
        offsets = offsets + steps
        scores = scores + steps
        scores = scores - scores.logsumexp(dim=1, keepdim=True)
    return Shares(scores.exp().to(logits.dtype), offsets)


# -- neighbours ----------------------------------------------------------------------------------------------


class Neighbourhood(NamedTuple):
    """The nearest rows `near` `[B, K]` of each row, nearest first, and the `expanded` `[B, K, M]` nearest of those.

    Neighbours are `reciprocal` `[B, K]` that have the row itself among their M nearest.
    """

    near: Tensor
    expanded: Tensor
    reciprocal: Tensor


@torch.no_grad()
def nearest(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """Of unit rows `[n, D]` the `count` most similar to each row at `index` `[...]`, without itself: `[..., count]`.

    It is left out by its position: of two equal rows, the first of the ranking may be the other one.  Fewer
    where there are fewer others.

    >>> nearest(torch.eye(2)[[0, 0, 1]], torch.tensor([1]), 1)
    tensor([[0]])
    """
    flat = index.reshape(-1)
    with torch.autocast(rows.device.type, enabled=False):
        similarity = rows[flat] @ rows.T
    similarity.scatter_(1, flat[:, None], -torch.inf)
    count = min(count, len(rows) - 1)
    return similarity.topk(count, dim=1).indices.reshape(*index.shape, count)


def neighbourhood(rows: Tensor, index: Tensor, near: int, expanded: int) -> Neighbourhood:
    """K = `near` neighbours of the unit rows `[n, D]` at `index` `[B]`, and M = `expanded` of each of these.

    >>> neighbourhood(torch.eye(2)[[0, 0, 1]], torch.tensor([1]), near=1, expanded=1).reciprocal
    tensor([[True]])
    """
    first = nearest(rows, index, near)
    second = nearest(rows, first, expanded)
    return Neighbourhood(first, second, (second == index[:, None, None]).any(dim=-1))


# -- kernels -------------------------------------------------------------------------------------------------


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """`||a_i - b_j||^2`, `[n, D]` and `[m, D]` -> `[n, m]`; from differences, so that equal rows give exactly 0.

    >>> squared_distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor([[25.]])
    """
    return (wide(a).unsqueeze(1) - wide(b).unsqueeze(0)).square().sum(dim=2)


def bandwidths(rows: Tensor, count: int = 5, factor: float = 2.0) -> list[float]:
    """`h factor^(k - count // 2)` for k < count, h the mean squared distance of two different rows of `[n, D]`.

    >>> bandwidths(torch.tensor([[0.0], [2.0]]), count=3)
    [2.0, 4.0, 8.0]
    """
    total = squared_distances(rows.detach(), rows.detach()).sum()
    centre = float(total) / max(len(rows) * (len(rows) - 1), 1)
    return [centre * factor ** (step - count // 2) for step in range(count)]


def gaussian_kernel(a: Tensor, b: Tensor, widths: Sequence[float]) -> Tensor:
    """`sum_h exp(-||a_i - b_j||^2 / h)` over the bandwidths h, `[n, m]`.

    >>> gaussian_kernel(torch.zeros(1, 1), torch.ones(1, 1), widths=[1.0, 2.0])
    tensor([[0.9744]])
    """
    gaps = squared_distances(a, b)
    return torch.stack([torch.exp(-gaps / width) for width in widths]).sum(dim=0)


def linear_kernel(a: Tensor, b: Tensor) -> Tensor:
    """`a_i . b_j`, `[n, m]`.

    >>> linear_kernel(torch.ones(1, 2), torch.eye(2))
    tensor([[1., 1.]])
    """
    with torch.autocast(a.device.type, enabled=False):
        return wide(a) @ wide(b).T


def mmd(within_a: Tensor, within_b: Tensor, across: Tensor, unbiased: bool = False) -> Tensor:
    """The squared maximum mean discrepancy of two samples, from kernel matrices (Gretton et al., JMLR 13, 2012).

        mean k(a, a') + mean k(b, b') - 2 mean k(a, b)

    The V-statistic has all pairs, is biased and never below 0, and 0 for equal samples; the `unbiased`
    U-statistic leaves out the pairs of a row with itself, needs two rows on each side, and may be below 0.
    Matrices multiplied entry by entry are a joint kernel.

    Args:
        within_a: `[n, n]`.
        within_b: `[m, m]`.
        across: `[n, m]`.

    >>> a, b = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [3.0]])
    >>> matrices = [linear_kernel(left, right) for left, right in ((a, a), (b, b), (a, b))]
    >>> mmd(*matrices), mmd(*matrices, unbiased=True)
    (tensor(1.), tensor(-1.))
    """
    if not unbiased:
        return within_a.mean() + within_b.mean() - 2 * across.mean()

    def off_diagonal(kernel: Tensor) -> Tensor:
        return (kernel.sum() - kernel.diagonal().sum()) / (len(kernel) * (len(kernel) - 1))

    return off_diagonal(within_a) + off_diagonal(within_b) - 2 * across.mean()
