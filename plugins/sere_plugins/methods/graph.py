"""What methods on a graph of utterances share: its nodes, and how an utterance that is no node is reached from them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sere_core.functional import ResizableBuffers, unit_rows, wide


def moments(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each feature of `[n, F]`; a deviation of 0 counts as 1."""
    deviation = vectors.std(dim=0, correction=0)
    return vectors.mean(dim=0), torch.where(deviation > 0, deviation, 1.0)


class Nodes(ResizableBuffers):
    """The nodes of a fitted graph: `rows` `[n, F]`, standardised in their domain, and what they carry, `[n, V]`.

    `mean` and `scale` `[F]` standardise utterances of T_u, and those that come later.  One that is no node is reached
    from its nearest nodes, item by item; one that equals a node is that node.
    """

    resizable: Mapping[str, int] = {"rows": 0, "carried": 0}
    rows: Tensor
    carried: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, width: int, carried: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(0, width))
        self.register_buffer("carried", torch.zeros(0, carried))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def fit(self, target: Tensor, *sources: Tensor) -> Tensor:
        """Take over T_u `[m, F]` and the source's streams, in this order, as nodes.  Their unit rows `[n, F]`, float64 on the CPU."""
        for buffer, value in zip((self.mean, self.scale), moments(target), strict=True):
            buffer.copy_(value)
        rows = [self.standardised(target)]
        if sources:
            together = torch.cat(sources)
            mean, scale = moments(together)
            rows.append(((together - mean) / scale).to(self.rows))
        self.rows = torch.cat(rows)
        return unit_rows(self.rows.double()).cpu()

    def standardised(self, vectors: Tensor) -> Tensor:
        """`[B, F]` by the moments of T_u, in the precision of the nodes."""
        return (vectors.to(self.rows) - self.mean) / self.scale

    def near(self, vectors: Tensor, count: int) -> Tensor:
        """The `count` nodes most similar to each of `[B, F]`, by cosine, `[B, K]`; fewer where there are fewer."""
        similarity = unit_rows(self.standardised(vectors).double()) @ unit_rows(self.rows.double()).T
        return similarity.topk(min(count, len(self.rows)), dim=1).indices

    def own(self, vectors: Tensor, near: Tensor, reached: Tensor) -> Tensor:
        """What utterances `[B, F]` that are nodes carry themselves; of the others what is `reached` `[B, V]`."""
        equal = (self.standardised(vectors).unsqueeze(1) == self.rows[near]).all(dim=2)
        first = near.gather(1, equal.to(torch.uint8).argmax(dim=1, keepdim=True)).squeeze(1)
        return torch.where(equal.any(dim=1, keepdim=True), wide(self.carried[first]).to(reached), reached)
