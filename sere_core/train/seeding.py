"""Seeds torch's global generators at every named draw."""

from __future__ import annotations

import torch


def reseed(seed: int) -> None:
    """As `torch.manual_seed`, for the devices that are in use.

    `torch.manual_seed` also queues a call, with a formatted stack, for every accelerator that was never touched; asked
    several times a step, that costs a tenth of a step and memory that is never given back.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
