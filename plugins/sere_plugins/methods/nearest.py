"""Neighbours in a memory bank, and which of them are reciprocal."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Neighbourhood:
    """Whom the utterances of a batch should agree with.

    Args:
        near: `[B, K]`, positions of the K nearest neighbours N_i, nearest first.
        expanded: `[B, K, M]`, positions of the M nearest neighbours of each.
        reciprocal: `[B, K]` bool: is i itself among the M nearest of its neighbour?
    """

    near: Tensor
    expanded: Tensor
    reciprocal: Tensor


@torch.no_grad()
def nearest(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """The `count` rows most similar to each row at `index`, itself left out by its position: `[..., count]`.

    Position, not rank: of two equal rows, the first of the ranking may be the other one.  Fewer where the bank has
    fewer others.

    >>> nearest(torch.eye(2)[[0, 0, 1]], torch.tensor([1]), 1)
    tensor([[0]])
    """
    flat = index.reshape(-1)
    with torch.autocast(rows.device.type, enabled=False):
        similarity = rows[flat] @ rows.T
    similarity.scatter_(1, flat[:, None], -torch.inf)
    count = min(count, len(rows) - 1)
    return similarity.topk(count, dim=1).indices.reshape(*index.shape, count)


@torch.no_grad()
def neighbourhood(rows: Tensor, index: Tensor, near: int, expanded: int) -> Neighbourhood:
    """Neighbours and neighbours' neighbours of the rows at `index`.

    Args:
        rows: unit rows `[n, D]`.
        index: `[B]`.
        near: K.
        expanded: M.
    """
    first = nearest(rows, index, near)
    second = nearest(rows, first, expanded)
    return Neighbourhood(first, second, (second == index[:, None, None]).any(dim=-1))
