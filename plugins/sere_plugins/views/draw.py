"""Random draws for views: all from the generator that the engine hands over."""

from __future__ import annotations

import torch
from torch import Generator


def uniform(low: float, high: float, generator: Generator) -> float:
    """A number from [low, high).

    >>> -1.0 <= uniform(-1.0, 1.0, torch.Generator().manual_seed(0)) < 1.0
    True
    """
    return low + (high - low) * float(torch.rand((), generator=generator, device=generator.device, dtype=torch.float64))


def below(count: int, generator: Generator) -> int:
    """A whole number from 0 to count - 1."""
    return int(torch.randint(count, (), generator=generator, device=generator.device))


def window(length: int, low: float, high: float, generator: Generator) -> tuple[int, int]:
    """Start and end of a contiguous part whose share of `length` is drawn from [low, high); never empty."""
    kept = min(length, max(1, round(length * uniform(low, high, generator))))
    start = below(length - kept + 1, generator)
    return start, start + kept


def spans(length: int, share: float, span: int, generator: Generator) -> torch.Tensor:
    """A bool mask `[length]` that is True on random spans which together cover at most `share` of it.

    As many spans of `span` places as fit into the share; a single shorter one where not even one fits.  They may overlap.
    """
    mask = torch.zeros(length, dtype=torch.bool)
    total = int(share * length)
    width = min(span, total)
    for _ in range(total // width if width else 0):
        start = below(length - width + 1, generator)
        mask[start : start + width] = True
    return mask
