"""Rows `[n, D]`: unit length, distances, kernels and MMD; and what labels pull together in such a space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sere_core.functional.frames import wide


def unit_rows(rows: Tensor) -> Tensor:
    """`[..., D]` at length 1; a zero row stays one and gets gradient 0: it has no direction.

    >>> unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    norms: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    unit: Tensor = rows / norms.masked_fill(norms == 0, torch.inf)
    return unit


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """`||a_i - b_j||^2`, `[n, D]` and `[m, D]` -> `[n, m]`; from differences, so that equal rows give exactly 0.

    >>> squared_distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor([[25.]])
    """
    return (wide(a).unsqueeze(1) - wide(b).unsqueeze(0)).square().sum(dim=2)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """`||a_i - b_j||`, `[n, D]` and `[m, D]` -> `[n, m]`, in little memory, and the same whatever else is in the batch.

    >>> distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor([[5.]])
    """
    # not by a product of matrices, whose rounding would depend on the size of the batch
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


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


def supervised_contrastive(
    rows: Tensor, labels: Tensor, temperature: float = 0.07, base_temperature: float = 0.07, weights: Tensor | None = None
) -> Tensor:
    """Rows of a class attract each other, against all other rows: equation 2 of SupCon (arXiv:2004.11362).

        L = tau / tau_base mean_i - sum_{p in P(i)} w_ip log softmax_{a != i}(h_i . h_a / tau)_p / sum_{p in P(i)} w_ip

    P(i) are the other rows with the label of i; a row without any contributes 0 and stays in the mean, as in the
    authors' code.

    Args:
        rows: h, `[n, D]`, of length 1.
        labels: `[n]`.
        weights: w, `[n, n]`, not below 0; None: 1.

    >>> supervised_contrastive(torch.eye(2)[[0, 0, 0, 0]], torch.zeros(4)), torch.tensor(3.0).log()
    (tensor(1.0986), tensor(1.0986))
    """
    if len(rows) < 2:
        return 0.0 * rows.sum()
    itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    positive = (labels[:, None] == labels[None, :]) & ~itself
    pull = positive.to(rows.dtype) if weights is None else torch.where(positive, weights.to(rows.dtype), 0.0)
    scores = linear_kernel(rows, rows) / temperature
    logarithms = scores - scores.masked_fill(itself, -torch.inf).logsumexp(dim=1, keepdim=True)
    total = pull.sum(dim=1)
    each = -(pull * logarithms).sum(dim=1) / total.masked_fill(total == 0, 1.0)
    return temperature / base_temperature * each.mean()


def centre_loss(rows: Tensor, labels: Tensor, centres: Tensor) -> Tensor:
    """`(1/2B) sum_i ||h_i - c_{y_i}||^2`, equation 2 of centre loss (Wen et al., ECCV 2016), by the number of rows.

    >>> centre_loss(torch.tensor([[3.0], [1.0]]), torch.tensor([0, 1]), torch.tensor([[1.0], [1.0]]))
    tensor(1.)
    """
    return (wide(rows) - centres[labels]).square().sum(dim=1).mean() / 2


@torch.no_grad()
def moved_centres(centres: Tensor, rows: Tensor, labels: Tensor, rate: float) -> Tensor:
    """`c_k - a sum_{i: y_i = k} (c_k - h_i) / (1 + n_k)`, equations 3 and 4 there: `[C, D]`; without rows c_k stays.

    Args:
        rate: a, between 0 and 1.

    >>> moved_centres(torch.zeros(2, 1), torch.tensor([[3.0], [3.0]]), torch.tensor([0, 0]), rate=0.5)
    tensor([[1.],
            [0.]])
    """
    members = functional.one_hot(labels, len(centres)).to(centres.dtype)
    counts = members.sum(dim=0).unsqueeze(1)
    return centres - rate * (counts * centres - members.T @ rows.to(centres.dtype)) / (1 + counts)
