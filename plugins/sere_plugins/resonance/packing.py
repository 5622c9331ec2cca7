"""Real frames of a padded batch, one utterance after another: padding costs nothing and can win nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Where each utterance's real frames stand among the N packed ones.

    Args:
        lengths: real frames of each utterance.
        starts: the first packed frame of each, and N at the end.
        mask: `[B, T]`, the real frames.
    """

    lengths: tuple[int, ...]
    starts: tuple[int, ...]
    mask: Tensor

    @cached_property
    def owner(self) -> Tensor:
        """`[N]` long, the utterance of each packed frame."""
        lengths = torch.tensor(self.lengths, dtype=torch.long, device=self.mask.device)
        return torch.repeat_interleave(lengths, output_size=self.frames)

    @cached_property
    def slots(self) -> Tensor | None:
        """`[N]` long, the packed frames' places in the flattened padded batch; None where no frame is padding."""
        return None if self.frames == self.mask.numel() else self.mask.flatten().nonzero().squeeze(1)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def frames(self) -> int:
        """N."""
        return self.starts[-1]

    def rows(self, first: int, last: int) -> slice:
        """The packed frames of utterances `first` to `last - 1`."""
        return slice(self.starts[first], self.starts[last])

    def pack(self, values: Tensor) -> Tensor:
        """`[B, T, ...]` -> `[N, ...]`; gradients flow back, zeros into padding."""
        flat = values.flatten(0, 1)
        if self.slots is None:
            return flat
        if not (flat.requires_grad and torch.is_grad_enabled()):
            return flat.index_select(0, self.slots)
        return _Pack.apply(flat, self.slots, self.mask.flatten())  # type: ignore[no-any-return, no-untyped-call]

    def unpack(self, rows: Tensor) -> Tensor:
        """`[N, ...]` -> `[B, T, ...]`, zeros in padding; the inverse of `pack`."""
        if self.slots is not None:
            rows = _Pad.apply(rows, self.slots, self.mask.flatten())  # type: ignore[no-untyped-call]
        return rows.view(*self.mask.shape, *rows.shape[1:])


def layout(mask: Tensor) -> Layout:
    """The layout of a mask `[B, T]`.

    >>> layout(torch.tensor([[True, False], [True, True]])).slots
    tensor([0, 2, 3])
    """
    lengths = tuple(mask.sum(dim=1).tolist())
    return Layout(lengths, (0, *accumulate(lengths)), mask)


def _padded(rows: Tensor, places: Tensor) -> Tensor:
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
        return _padded(grad, *ctx.saved_tensors), None, None


class _Pad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, slots: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(slots)
        return _padded(rows, places)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return grad.index_select(0, *ctx.saved_tensors), None, None
