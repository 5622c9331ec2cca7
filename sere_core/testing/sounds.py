"""Made-up waveforms and contours, and padded batches of frame sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sere_registry import Frames

Array = NDArray[np.float32]
HOP = 0.02
CONTOURS = ("f0", "periodicity", "rms", "mfcc2", "centroid")


def waves() -> list[Array]:
    """Half a second, a third of one, and one sample, at 16 kHz."""
    rng = np.random.default_rng(0)
    return [rng.normal(0.01, 0.1, count).astype(np.float32) for count in (8000, 5003, 1)]


def contours(length: int, seed: int = 0) -> dict[str, Array]:
    """Speech-like: f0 with unvoiced stretches, where it is NaN."""
    rng = np.random.default_rng(seed)
    voiced = rng.random(length)
    made = {
        "f0": np.where(voiced > 0.5, 120 + 60 * rng.random(length), np.nan),
        "periodicity": voiced,
        "rms": rng.random(length),
        "mfcc2": rng.normal(size=length),
        "centroid": 900 + 500 * rng.random(length),
    }
    return {name: values.astype(np.float32) for name, values in made.items()}


def flat(value: float, length: int = 6, voiced: float = 0.0) -> dict[str, Array]:
    """Contours that do not move."""
    return {name: np.full(length, voiced if name == "periodicity" else value, np.float32) for name in CONTOURS}


def padded(rows: Sequence[Tensor], padding: float = 0.0, extra: int = 0, rate: float = 50.0) -> Frames:
    """Sequences `[T_i, F]` as a batch, `padding` in their padded frames, `extra` of them in every row."""
    length = max(map(len, rows)) + extra
    values = torch.stack([torch.cat([row, row.new_full((length - len(row), row.shape[1]), padding)]) for row in rows])
    return Frames(values, torch.arange(length) < torch.tensor([len(row) for row in rows])[:, None], rate)
