"""Tensor functions and small modules that the engine and any plugin may use: each is said here once."""

from sere_core.functional.frames import on_real_frames, pack_rows, pad_rows, padded
from sere_core.functional.rows import (
    Neighbourhood,
    Shares,
    bandwidths,
    diversity,
    entropy,
    equal_shares,
    gaussian_kernel,
    linear_kernel,
    mmd,
    nearest,
    neighbourhood,
    pseudo_label_loss,
    reverse_gradient,
    squared_distances,
    unit_rows,
    wide,
)
from sere_core.functional.state import MemoryBank, ResizableBuffers, frozen_copy, update_average

__all__ = [
    "MemoryBank",
    "Neighbourhood",
    "ResizableBuffers",
    "Shares",
    "bandwidths",
    "diversity",
    "entropy",
    "equal_shares",
    "frozen_copy",
    "gaussian_kernel",
    "linear_kernel",
    "mmd",
    "nearest",
    "neighbourhood",
    "on_real_frames",
    "pack_rows",
    "pad_rows",
    "padded",
    "pseudo_label_loss",
    "reverse_gradient",
    "squared_distances",
    "unit_rows",
    "update_average",
    "wide",
]
