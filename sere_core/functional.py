"""Tensor functions and small modules that the engine and any plugin may use: each is said here once.

Rows are `[n, D]`, posteriors and logits `[n, C]`, padded frames `[B, T, F]` with a mask `[B, T]`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

M = TypeVar("M")

# -- rows and posteriors ------------------------------------------------------------------------------------------


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
    @staticmethod
    def forward(ctx: Any, values: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
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


# -- copies of a network ------------------------------------------------------------------------------------------


def frozen_copy(module: M) -> M:
    """A copy of a `nn.Module` that needs no gradient: a teacher, or the network as it was."""
    copied = copy.deepcopy(module)
    cast(nn.Module, copied).requires_grad_(False)
    return copied


@torch.no_grad()
def update_average(average: object, student: object, decay: float, step: int) -> None:
    """Move the exponential moving average towards the student, after optimizer step number `step` (from 0).

    average <- d average + (1 - d) student,  d = min(decay, 1 - 1 / (step + 2)): without that the first steps would be
    stuck at the initial weights.  Buffers are copied.

    >>> student = nn.Linear(1, 1)
    >>> teacher = frozen_copy(student)
    >>> update_average(teacher, student, decay=0.99, step=0)
    """
    decay = min(decay, 1.0 - 1.0 / (step + 2))
    mine, theirs = cast(nn.Module, average), cast(nn.Module, student)
    for mean, value in zip(mine.parameters(), theirs.parameters(), strict=True):
        mean.lerp_(value, 1.0 - decay)
    for kept, now in zip(mine.buffers(), theirs.buffers(), strict=True):
        kept.copy_(now)


class ResizableBuffers(nn.Module):
    """A module with state whose size comes from the data: banks, pseudo-labels, a fitted matrix.

    Buffers named in `resizable` may be empty at first and be assigned at any size; loading a state takes over its sizes,
    so that a checkpoint restores them.

    >>> class Bank(ResizableBuffers):
    ...     resizable = ("rows",)
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.register_buffer("rows", torch.zeros(0, 2))
    >>> full, empty = Bank(), Bank()
    >>> full.rows = torch.ones(3, 2)
    >>> empty.load_state_dict(full.state_dict())
    <All keys matched successfully>
    >>> empty.rows.shape
    torch.Size([3, 2])
    """

    resizable: tuple[str, ...] = ()

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *args: Any) -> None:
        for name in self.resizable:
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, torch.empty_like(stored, device=getattr(self, name).device))
        super()._load_from_state_dict(state_dict, prefix, *args)


# -- real frames without their padding ----------------------------------------------------------------------------


def on_real_frames(layer: Callable[[Tensor], Tensor], values: Tensor, mask: Tensor) -> Tensor:
    """`layer` of every real frame of `values` `[B, T, F]`, and zeros in padding: `[B, T, d]`.

    What stands in padding is not read, and gets no gradient.

    >>> on_real_frames(lambda rows: rows + 1, torch.zeros(1, 2, 1), torch.tensor([[True, False]])).flatten().tolist()
    [1.0, 0.0]
    """
    flat, places = values.flatten(0, 1), mask.flatten()
    slots = places.nonzero().squeeze(1)
    if len(slots) == len(places):  # no padding
        return layer(flat).view(*values.shape[:2], -1)
    return pad_rows(layer(pack_rows(flat, slots, places)), slots, places).view(*values.shape[:2], -1)


def pack_rows(flat: Tensor, slots: Tensor, places: Tensor) -> Tensor:
    """The real rows of a flattened padded batch, `[B * T, ...]` -> `[N, ...]`; gradients flow back, zeros into padding.

    Args:
        slots: `[N]` long, where the real rows stand.
        places: `[B * T]` bool, the same as a mask.

    >>> pack_rows(torch.tensor([[1.0], [9.0], [2.0]]), torch.tensor([0, 2]), torch.tensor([True, False, True])).flatten()
    tensor([1., 2.])
    """
    if not (flat.requires_grad and torch.is_grad_enabled()):
        return flat.index_select(0, slots)
    return _Pack.apply(flat, slots, places)  # type: ignore[no-any-return, no-untyped-call]


def pad_rows(rows: Tensor, slots: Tensor, places: Tensor) -> Tensor:
    """`[N, ...]` -> `[B * T, ...]`, zeros in padding: the inverse of `pack_rows`."""
    return _Pad.apply(rows, slots, places)  # type: ignore[no-any-return, no-untyped-call]


def padded(rows: Tensor, places: Tensor) -> Tensor:
    """Rows at the true places, zeros at the others; reading whole rows is several times faster than writing them there."""
    origin = places.cumsum(0).mul_(places)
    return torch.cat([rows.new_zeros(1, *rows.shape[1:]), rows]).index_select(0, origin)


class _Pack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, flat: Tensor, slots: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return flat.index_select(0, slots)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return padded(grad, *ctx.saved_tensors), None, None


class _Pad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, slots: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(slots)
        return padded(rows, places)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return grad.index_select(0, *ctx.saved_tensors), None, None
