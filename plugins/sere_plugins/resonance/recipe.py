"""What a field is asked to compute, and how often each frame was matched."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sere_plugins.resonance.kernel import Kernel
from sere_plugins.resonance.search import Job, Plan


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


def match_counts(winner: Tensor, plan: Plan, job: Job, dtype: torch.dtype) -> Tensor:
    """How often each frame of b was matched, over T_a: zt = counts @ z^b (equation 5), `[utterances of a, T_b]`."""
    first, last, b, lane = job
    rows, length = plan.a.rows(first, last), plan.b.lengths[b]
    cell = (plan.a.owner[rows] - first) * length + (winner[lane, rows] - plan.b.starts[b])
    counts = torch.bincount(cell, minlength=(last - first) * length).view(last - first, length).to(dtype)
    return counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
