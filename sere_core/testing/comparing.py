"""Are two results the same: bit for bit, or up to rounding?  NaN equals NaN: that values are finite is a check of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def same(first: Tensor, second: Tensor) -> bool:
    """Bit for bit."""
    return (
        first.shape == second.shape and torch.equal(first.isnan(), second.isnan()) and torch.equal(first.nan_to_num(), second.nan_to_num())
    )


def close(first: Tensor, second: Tensor, size: float | None = None) -> bool:
    """Up to rounding: relative to the larger one, 1e-8 in float64 and 1e-4 in float32 unless `size` says otherwise."""
    if first.shape != second.shape:
        return False
    wide = first.dtype == torch.float64 and second.dtype == torch.float64
    tolerance = (1e-8 if wide else 1e-4) if size is None else size
    return torch.allclose(first.double(), second.double(), rtol=tolerance, atol=tolerance, equal_nan=True)


def all_same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Bit for bit, by name."""
    return first.keys() == second.keys() and all(same(first[name], second[name]) for name in first)


def shaken(module: Any, size: float = 0.1) -> Any:
    """The module with other values in all that is trained."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(size * torch.rand(parameter.shape, generator=generator).to(parameter))
    return module
