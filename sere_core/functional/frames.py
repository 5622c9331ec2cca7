"""Frames and samples: spectra, and frames without their padding; what the frozen part of an encoder may be made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def wide(values: Tensor) -> Tensor:
    """At least float32: bfloat16 has too few digits for norms, means and distances; float64 stays.

    >>> wide(torch.ones(1, dtype=torch.bfloat16)).dtype, wide(torch.ones(1).double()).dtype
    (torch.float32, torch.float64)
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))


def power_spectra(samples: Tensor, window: Tensor, step: int) -> Tensor:
    """|DFT|^2 of windowed frames, `[B, N]` -> `[B, 1 + (N - W) // step, W // 2 + 1]`, as a convolution, which ONNX has.

    Args:
        samples: at least one window of them.
        window: `[W]`.
        step: samples between frames.

    >>> power_spectra(torch.ones(1, 6), torch.ones(4), 2).round().tolist()
    [[[16.0, 0.0, 0.0], [16.0, 0.0, 0.0]]]
    """
    size = len(window)
    turns = torch.arange(size // 2 + 1, dtype=torch.float64)[:, None] * torch.arange(size, dtype=torch.float64) / size
    waves = torch.cat([(2 * torch.pi * turns).cos(), (2 * torch.pi * turns).sin()]) * window.double()
    real, imaginary = functional.conv1d(samples[:, None], waves.to(samples)[:, None], stride=step).chunk(2, dim=1)
    return (real.square() + imaginary.square()).transpose(1, 2)


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
