"""Real frames without their padding: `[B, T, ...]` with a mask `[B, T]` <-> `[N, ...]`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


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
