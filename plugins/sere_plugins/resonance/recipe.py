"""What a field is asked to compute, and how often each frame was matched."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sere_plugins.resonance.kernel import Kernel
from sere_plugins.resonance.search import Plan


@dataclass(frozen=True)
class Recipe:
    """What to compute.

    Args:
        plan: which utterances meet.
        kernel: equation 4.
        shares: `[N_a]`, what each frame of a counts in equation 6: 1 / |H_a| for highlights, else 0.
        told: is equation 5's representation asked for?
    """

    plan: Plan
    kernel: Kernel
    shares: Tensor
    told: bool


def match_counts(winner: Tensor, plan: Plan, dtype: torch.dtype) -> Tensor:
    """How often an utterance of a matched each frame of b, over T_a: zt = counts @ z^b (equation 5).

    `[A, N_b]`, of which lane b uses the frames of b; in an aligned plan `[1, N_b]`, since each b has its own a.
    """
    owner = plan.a.owner
    lengths = torch.bincount(owner, minlength=len(plan.a)).clamp(min=1)
    if plan.aligned:
        return torch.bincount(winner.flatten(), minlength=plan.b.frames).to(dtype).div_(lengths[plan.b.owner]).unsqueeze(0)
    cell = owner * plan.b.frames + winner
    counts = torch.bincount(cell.flatten(), minlength=len(plan.a) * plan.b.frames)
    return counts.view(len(plan.a), plan.b.frames).to(dtype).div_(lengths.unsqueeze(1))
