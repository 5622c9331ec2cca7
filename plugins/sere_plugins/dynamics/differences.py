"""Equation 1's differences and their scale, over real frames only."""

from __future__ import annotations

import torch
from torch import Tensor

from sere_registry import Frames, error


def on_grid(static: Frames, context: Frames) -> tuple[Tensor, Tensor]:
    """The static features with zeros in padded frames, and the mask that both inputs share.

    Raises:
        SereError: B402 if the two do not stand on the same frames.
    """
    if static.values.shape[:2] != context.values.shape[:2]:
        raise error(
            "B402",
            f"contours stand on {list(static.values.shape[:2])} [utterances, frames], the context on {list(context.values.shape[:2])}",
        )
    mask = context.mask if static.mask is context.mask else context.mask & static.mask
    return static.values.masked_fill(~mask.unsqueeze(-1), 0.0), mask


def differences(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """D_t = f_t - f_{t-1} and D_1 = 0, equation 1 [P]; also 0 where either frame is not real.

    Args:
        values: `[B, T, K]`, finite everywhere.
        mask: `[B, T]`, True on real frames.

    Returns:
        The differences `[B, T, K]`, and `[B, T]` where they stand: the "valid t >= 2".
    """
    stands = torch.zeros_like(mask)
    stands[:, 1:] = mask[:, 1:] & mask[:, :-1]
    steps = torch.zeros_like(values)
    steps[:, 1:] = values[:, 1:] - values[:, :-1]
    return steps.masked_fill(~stands.unsqueeze(-1), 0.0), stands


def normalised(steps: Tensor, stands: Tensor, eps: float) -> Tensor:
    """Dn_t = D_t / (Dbar + eps) with Dbar the mean of |D_t| over valid t >= 2, per utterance and contour, equation 1 [P].

    An utterance of one frame, or a constant contour, has Dbar = 0 and Dn = 0.
    """
    count = stands.sum(dim=1).clamp(min=1).to(steps.dtype)
    scale = steps.abs().sum(dim=1) / count.unsqueeze(-1)
    return steps / (scale + eps).unsqueeze(1)
