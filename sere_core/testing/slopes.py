"""Is a gradient that of its function?  Central differences in float64, along a direction drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sere_core.testing.comparing import close, same

STEP = 1e-6
#: how far rounding and curvature may move a difference
SIZE = 1e-4


def check_slope(value: Callable[[], Tensor], leaves: Sequence[Tensor], what: str) -> None:
    """Assert that the derivative of a scalar along one direction in all leaves is what its gradient says.

    Args:
        value: works the scalar out anew, from the leaves as they are.
        leaves: tensors of float64 that ask for a gradient; moved meanwhile, and put back.
        what: of what the derivative is, for the message.
    """
    generator = torch.Generator().manual_seed(3)
    along = [torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype) for leaf in leaves]
    slopes = torch.autograd.grad(value(), list(leaves), allow_unused=True)
    found = sum(((slope * way).sum() for slope, way in zip(slopes, along, strict=True) if slope is not None), torch.zeros(()).double())
    kept = [leaf.detach().clone() for leaf in leaves]
    ends = []
    with torch.no_grad():
        for sign in (1, -1):
            for leaf, start, way in zip(leaves, kept, along, strict=True):
                leaf.copy_(start + sign * STEP * way)
            ends.append(value().detach())
        for leaf, start in zip(leaves, kept, strict=True):
            leaf.copy_(start)
    expected = (ends[0] - ends[1]) / (2 * STEP)
    assert close(found, expected, SIZE), f"{what} is {found.item():.6g}, by finite differences {expected.item():.6g}"
    assert all(same(leaf.detach(), start) for leaf, start in zip(leaves, kept, strict=True))
