"""What utterances may look like: the situations in which every reading of an equation is held against its loops.

Numbers are float32's, so that one answer of the loops judges the plugins in both precisions.  What stands in padding is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tests.sere.batches import Utterance, batch, utterances

LENGTHS = [4, 1, 3, 2, 5]
SITUATIONS = [
    "lengths",
    "hidden frames",
    "one utterance",
    "one frame",
    "constant contours",
    "unvoiced",
    "identical utterances",
    "silence",
]
#: (precision, what an answer may be off by, relative to the largest entry)
PRECISIONS = [(torch.float64, 1e-9), (torch.float32, 1e-5)]


def streams(situation: str, *counts: int) -> list[list[Utterance]]:
    """So many utterances (z, d) for each stream, float64 leaves."""
    made = []
    for stream, count in enumerate(counts):
        size = 1 if situation == "one utterance" else count
        lengths = [1] * size if situation == "one frame" else [LENGTHS[(stream + row) % len(LENGTHS)] for row in range(size)]
        seed = 1 + stream
        if situation == "identical utterances":
            lengths, seed = [LENGTHS[row % len(LENGTHS)] for row in range(size)], 1
        parts = [tuple(part.detach().float().double() for part in u) for u in utterances(lengths, seed)]
        for row, (z, d) in enumerate(parts):
            if situation == "constant contours":
                d.zero_()
            elif situation == "unvoiced":
                d[:, 0] = 0
            elif situation == "silence":
                z[: None if row == 1 else 1] = 0  # the second utterance wholly, others at their start
                d[: None if row == 1 else 1] = 0
        made.append([(z.requires_grad_(), d.requires_grad_()) for z, d in parts])
    return made


def cast(parts: Sequence[Utterance], dtype: torch.dtype) -> list[Utterance]:
    """The same utterances, as leaves of another graph."""
    return [(z.detach().to(dtype).requires_grad_(), d.detach().to(dtype).requires_grad_()) for z, d in parts]


def padded(parts: Sequence[Utterance], situation: str, labels: Sequence[int] | None = None, extra: int = 2) -> Any:
    return batch(parts, labels, padding=float("nan"), extra=extra, gaps=situation == "hidden frames")


def assert_equal(found: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float, about: str = "") -> None:
    """All entries, relative to the largest of them (or to 0.1 where all of them should be smaller)."""
    got, want = (torch.cat([part.detach().double().flatten() for part in parts]) for parts in (found, expected))
    assert got.shape == want.shape
    if not len(want):
        return
    assert torch.isfinite(want).all(), "the loops themselves must have an answer"
    allowed = tolerance * max(float(want.abs().max()), 0.1)
    worst = float((got - want).abs().max())
    assert worst <= allowed, f"{about}: off by {worst:.2e} where {allowed:.2e} is allowed"  # NaN is refused too
