"""Real frames of a padded batch, one utterance after another: padding costs nothing and can win nothing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Where each utterance's real frames stand among the N packed ones.

    Args:
        lengths: real frames of each utterance.
        starts: the first packed frame of each, and N at the end.
        owner: `[N]` long, the utterance of each packed frame.
        slots: `[N]` long, the packed frames' places in the flattened padded batch; None where no frame is padding.
    """

    lengths: tuple[int, ...]
    starts: tuple[int, ...]
    owner: Tensor
    slots: Tensor | None

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
        return flat if self.slots is None else _Pick.apply(flat, self.slots)  # type: ignore[no-any-return, no-untyped-call]


def layout(mask: Tensor) -> Layout:
    """The layout of a mask `[B, T]`.

    >>> layout(torch.tensor([[True, False], [True, True]])).slots
    tensor([0, 2, 3])
    """
    counts = mask.sum(dim=1)
    lengths = tuple(int(count) for count in counts.tolist())
    starts = (0, *accumulate(lengths))
    owner = torch.repeat_interleave(torch.arange(len(lengths), device=mask.device), counts)
    full = starts[-1] == mask.numel()
    return Layout(lengths, starts, owner, None if full else mask.flatten().nonzero().squeeze(1))


class _Pick(torch.autograd.Function):
    """`values[slots]` for slots that are all different: the backward writes where indexing would add, frame by frame."""

    @staticmethod
    def forward(ctx, values, slots):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(slots)
        ctx.shape = values.shape
        return values.index_select(0, slots)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (slots,) = ctx.saved_tensors
        return grad.new_zeros(ctx.shape).index_copy(0, slots, grad), None
