"""Equation 4: what two frames' resonance is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Kernel:
    """R_ij = cos(z_i, z_j) joined with the burst synchrony of e_i and e_j, equation 4.

    Args:
        temperature: tau.
        sync: x_ij = exp(-|e_i - e_j| / tau) or exp(-(e_i - e_j)^2 / tau) [R]; None: there is no burst term, R is the cosine.
        combine: cos * x or cos + x [R].
    """

    temperature: float = 1.0
    sync: Literal["exp_abs", "exp_square"] | None = None
    combine: Literal["product", "sum"] = "product"

    def synchrony(self, gap: Tensor) -> Tensor:
        """x, written over the burst gaps e_i - e_j."""
        if self.sync == "exp_abs":
            return gap.abs_().mul_(-1.0 / self.temperature).exp_()
        return gap.square_().mul_(-1.0 / self.temperature).exp_()

    def slope(self, gap: Tensor) -> Tensor:
        """d log x / d gap."""
        if self.sync == "exp_abs":
            return gap.sign() * (-1.0 / self.temperature)
        return gap * (-2.0 / self.temperature)


def inverse_norms(rows: Tensor) -> Tensor:
    """1 / |row|, and 0 for a zero row, whose cosine with anything is 0 and stays so: `[..., D]` -> `[...]`."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=-1)
    return norms.reciprocal().masked_fill_(norms == 0, 0.0)
