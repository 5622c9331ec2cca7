"""Adversaries: gradient reversal, its ramp, and a discriminator of domains."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sere_core.functional.frames import wide


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


def reversal_ramp(fraction: float, steepness: float = 10.0) -> float:
    """`2 / (1 + exp(-a t)) - 1`: how strongly gradients are reversed at t of the stage, from 0 to almost 1 (arXiv:1505.07818).

    >>> reversal_ramp(0.0), round(reversal_ramp(0.1), 3), round(reversal_ramp(0.5), 3)
    (0.0, 0.462, 0.987)
    """
    return 2.0 / (1.0 + math.exp(-steepness * fraction)) - 1.0


def domain_loss(source: Tensor, target: Tensor, weights: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """`(mean_i -w_i log D_i + mean_j -w_j log(1 - D_j)) / 2`: each domain counts half, however many rows it has.

    Args:
        source: logits `[n]` whose sigmoid D is the chance of the source domain.
        target: the same, `[m]`.
        weights: w of both sides; None: 1.

    >>> domain_loss(torch.zeros(3), torch.zeros(1))
    tensor(0.6931)
    """
    on_source, on_target = functional.softplus(-wide(source)), functional.softplus(wide(target))
    if weights is not None:
        on_source, on_target = on_source * weights[0], on_target * weights[1]
    return (on_source.mean() + on_target.mean()) / 2


class BatchNorm(nn.BatchNorm1d):
    """A single row has no batch statistics: it is normalised by the running ones, which it leaves as they are.

    >>> BatchNorm(2)(torch.ones(1, 2)).shape
    torch.Size([1, 2])
    """

    def forward(self, rows: Tensor) -> Tensor:
        batched = self.training and len(rows) > 1
        mean, variance = self.running_mean, self.running_var
        return functional.batch_norm(rows, mean, variance, self.weight, self.bias, batched, 0.1, self.eps)


class Discriminator(nn.Module):
    """Rows `[n, D]` -> logits `[n, outputs]`, `[n]` for a single output: three linear layers, BatchNorm and ReLU after two.

    As in Transfer-Learning-Library.  Domains are passed together, so that BatchNorm cannot tell them apart.

    >>> Discriminator(dim=4, hidden=8)(torch.zeros(1, 4)).shape, Discriminator(4, 8, outputs=3)(torch.zeros(2, 4)).shape
    (torch.Size([1]), torch.Size([2, 3]))
    """

    def __init__(self, dim: int, hidden: int, outputs: int = 1) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for width in (dim, hidden):
            parts += [nn.Linear(width, hidden, bias=False), BatchNorm(hidden), nn.ReLU()]
        self.layers = nn.Sequential(*parts, nn.Linear(hidden, outputs))

    def forward(self, rows: Tensor) -> Tensor:
        with torch.autocast(rows.device.type, enabled=False):
            logits: Tensor = self.layers(wide(rows))
        return logits.squeeze(1)
