"""How large a method is, and how much memory the process held."""

from __future__ import annotations

import resource
import sys
from typing import Any

import torch
from torch.nn.parameter import UninitializedParameter


def count_parameters(method: Any) -> dict[str, int]:
    """How many numbers a method trains by gradient in any of its stages, and how many parameters it has in all.

    A closed form that writes its solution into the method's parameters trains none by gradient.
    """
    groups = method.parameters_by_group()
    names = {name for stage in method.stages() for phase in stage.phases for name in phase.trains}
    trained = {id(each): each for name in names & set(groups) for each in groups[name].parameters if each.requires_grad}
    return {"trained": _numbers(trained.values()), "total": _numbers(method.parameters())}


def peaks(device: torch.device) -> dict[str, float]:
    """The most memory that this process held so far, in MiB; on a GPU also the most of the GPU's."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"peak_mib": most / (2**20 if sys.platform == "darwin" else 2**10)}
    if device.type == "cuda":
        found["peak_gpu_mib"] = torch.cuda.max_memory_allocated(device) / 2**20
    return found


def _numbers(parameters: Any) -> int:
    return sum(each.numel() for each in parameters if not isinstance(each, UninitializedParameter))
