"""Tensor functions and small modules that the engine and any plugin may use: each is said here once.

Rows are `[n, D]`, logits and posteriors `[n, C]`, frames `[B, T, ...]` with a mask `[B, T]`.
"""

from __future__ import annotations

from sere_core.functional.adversaries import BatchNorm, Discriminator, domain_loss, reversal_ramp, reverse_gradient, without_reversal
from sere_core.functional.frames import on_real_frames, pack_rows, pad_rows, padded, power_spectra, wide
from sere_core.functional.modules import (
    MemoryBank,
    MovingAverage,
    ResizableBuffers,
    StepDraws,
    frozen_copy,
    mlp,
    undisturbed_draws,
    update_average,
)
from sere_core.functional.neighbours import Neighbourhood, nearest, neighbour_graph, neighbourhood, normalised_graph
from sere_core.functional.posteriors import Shares, diversity, entropy, equal_shares, pseudo_label_loss
from sere_core.functional.rows import (
    bandwidths,
    centre_loss,
    distances,
    gaussian_kernel,
    linear_kernel,
    mmd,
    moved_centres,
    squared_distances,
    supervised_contrastive,
    unit_rows,
)

__all__ = [
    "BatchNorm",
    "Discriminator",
    "MemoryBank",
    "MovingAverage",
    "Neighbourhood",
    "ResizableBuffers",
    "Shares",
    "StepDraws",
    "bandwidths",
    "centre_loss",
    "distances",
    "diversity",
    "domain_loss",
    "entropy",
    "equal_shares",
    "frozen_copy",
    "gaussian_kernel",
    "linear_kernel",
    "mlp",
    "mmd",
    "moved_centres",
    "nearest",
    "neighbour_graph",
    "neighbourhood",
    "normalised_graph",
    "on_real_frames",
    "pack_rows",
    "pad_rows",
    "padded",
    "power_spectra",
    "pseudo_label_loss",
    "reversal_ramp",
    "reverse_gradient",
    "squared_distances",
    "supervised_contrastive",
    "undisturbed_draws",
    "unit_rows",
    "update_average",
    "wide",
    "without_reversal",
]
