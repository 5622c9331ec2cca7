"""What a field is asked to compute, and how often each frame was matched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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


class Matches(NamedTuple):
    """What the search found, and what it searched.

    Args:
        ua, ub: z / |z|, `[N_a, D]`, `[N_b, D]`.
        na, nb: 1 / |z|, `[N_a]`, `[N_b]`.
        ea, eb: burst strengths `[N_a]`, `[N_b]`, or None.
        best, winner: R_{i, j*(i)} and j*(i), `[lanes, N_a]`.
        counts: `match_counts`; None where nothing is told.
    """

    ua: Tensor
    ub: Tensor
    na: Tensor
    nb: Tensor
    ea: Tensor | None
    eb: Tensor | None
    best: Tensor
    winner: Tensor
    counts: Tensor | None


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
