"""The nearest among unit rows `[n, D]`, and graphs of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


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


@torch.no_grad()
def neighbour_graph(rows: Tensor, count: int) -> Tensor:
    """The symmetric graph of nearest neighbours of unit rows `[n, D]`: a sparse matrix `[n, n]` of ones, and zeros on its diagonal.

    i and j have an edge where j is among the `count` most similar to i, or i among those of j.

    >>> neighbour_graph(torch.eye(2)[[0, 0, 1]], 1).to_dense()
    tensor([[0., 1., 1.],
            [1., 0., 0.],
            [1., 0., 0.]])
    """
    others = nearest(rows, torch.arange(len(rows), device=rows.device), count)
    ends = torch.stack([torch.arange(len(rows), device=rows.device).repeat_interleave(others.shape[1]), others.flatten()])
    both = torch.unique(torch.cat([ends, ends.flip(0)], dim=1), dim=1)
    return torch.sparse_coo_tensor(both, rows.new_ones(both.shape[1]), (len(rows), len(rows)), is_coalesced=True, check_invariants=False)


def normalised_graph(graph: Tensor, loops: bool = False) -> Tensor:
    """`D^-1/2 W D^-1/2` of a sparse symmetric W `[n, n]`, or of W + I with `loops`; D are the sums of its rows.

    All eigenvalues lie in [-1, 1].  A row without an edge stays one of zeros.

    >>> normalised_graph(neighbour_graph(torch.eye(2), 1), loops=True).to_dense()
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    if loops:
        same, ones = torch.arange(len(graph), device=graph.device).expand(2, -1), graph.values().new_ones(len(graph))
        graph = (graph + torch.sparse_coo_tensor(same, ones, graph.shape, check_invariants=False)).coalesce()
    sums = torch.sparse.sum(graph, dim=1).to_dense()
    root = torch.where(sums > 0, sums.rsqrt(), 0.0)
    first, second = graph.indices()
    values = root[first] * graph.values() * root[second]
    return torch.sparse_coo_tensor(graph.indices(), values, graph.shape, is_coalesced=True, check_invariants=False)
