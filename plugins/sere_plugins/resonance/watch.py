"""What a field saw last, kept small, so that its distribution can be told once an epoch and costs a step nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sere_plugins.resonance.kernel import Kernel
from sere_plugins.resonance.pairwise import Side, resonance
from sere_registry import Encoded, Frames

#: utterances of each side that are looked at
FEW = 4
#: below and above which a synchrony counts as saturated
LOW, HIGH = 0.05, 0.95


@dataclass(frozen=True)
class Few:
    """What of a batch is looked at, without its graph."""

    frames: Frames
    bursts: Tensor

    def first(self, count: int, strength: Callable[[Tensor, Tensor], Tensor]) -> Side:
        """So many utterances."""
        mask = self.frames.mask[:count]
        return Side.of(Frames(self.frames.values[:count], mask, self.frames.rate), strength(self.bursts[:count], mask))


class Watch:
    """The last two batches that a field was given, a and b."""

    def __init__(self) -> None:
        self._sides: deque[Few] = deque(maxlen=2)

    def note(self, batch: Encoded) -> None:
        """One side; a comes before b."""
        frames = Frames(batch.frames.values.detach(), batch.frames.mask, batch.frames.rate)
        self._sides.append(Few(frames, batch.bursts.detach()))

    def distribution(self, kernel: Kernel, strength: Callable[[Tensor, Tensor], Tensor]) -> Mapping[str, float]:
        """Quantiles of R and of the burst term over pairs of frames, and how much of the burst term is saturated.

        Args:
            kernel: equation 4.
            strength: (bursts `[B, T, K]`, mask `[B, T]`) -> e `[B, T]`.
        """
        if len(self._sides) < 2 or not all(len(side.frames.mask) for side in self._sides):
            return {}
        with torch.no_grad():
            a, b = (side.first(FEW, strength) for side in self._sides)
            real = (a.mask[:, None, :, None] & b.mask[None, :, None, :]).flatten(0, 1)
            found = _quantiles("resonance", resonance(a, b, kernel, aligned=False)[real])
            if kernel.sync is not None and a.strength is not None and b.strength is not None:
                gap = (a.strength[:, None, :, None] - b.strength[None, :, None, :]).flatten(0, 1)[real]
                synchrony = kernel.synchrony(gap.clone())
                found |= _quantiles("synchrony", synchrony)
                found["synchrony/low"], found["synchrony/high"] = (
                    float(part.float().mean()) for part in (synchrony < LOW, synchrony > HIGH)
                )
        return found


def _quantiles(name: str, values: Tensor) -> dict[str, float]:
    values = values.float()
    values = values[:: 1 + len(values) // 1_000_000]  # torch's quantile takes no more than 16 million
    levels = (0.05, 0.5, 0.95)
    found = torch.quantile(values, torch.tensor(levels, device=values.device)).tolist()
    return {f"{name}/q{round(100 * level):02d}": value for level, value in zip(levels, found, strict=True)}
