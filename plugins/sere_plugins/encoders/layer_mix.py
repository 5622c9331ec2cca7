"""A learned weighted sum of all layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LayerMix(nn.Module):
    """The softmax-weighted sum of all hidden states, as in SUPERB (arXiv:2105.01051, section 3): uniform at first.

    Args:
        states: how many hidden states there are: the layers, and what enters the first.

    >>> LayerMix(2)(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])).tolist()
    [[[2.0, 3.0]]]
    """

    def __init__(self, states: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(states))

    def forward(self, stacked: Tensor) -> Tensor:
        """`[B, T, states * hidden]`, state after state -> `[B, T, hidden]`."""
        parts = stacked.reshape(*stacked.shape[:-1], len(self.weights), -1)
        mixed: Tensor = torch.einsum("btsh,s->bth", parts, self.weights.softmax(dim=0))
        return mixed
