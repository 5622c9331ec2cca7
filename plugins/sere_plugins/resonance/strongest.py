"""max_j R_ij alone, without its place and without gradient: all that a similarity needs.

Utterances of b of about the same length stand together, the shorter ones with their last frame repeated, which changes no
maximum.  So one operation finds the best frame of many b's at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from sere_plugins.resonance.kernel import Kernel
from sere_plugins.resonance.packing import Grouping
from sere_plugins.resonance.search import block_size, resonance, worth_threads
from sere_plugins.resonance.workers import run_everywhere, taken


@dataclass(frozen=True)
class _Block:
    """Frames `part` of a against `count` utterances of b, `length` rows each, that begin at `row` and in lane `lane`."""

    part: slice
    row: int
    lane: int
    count: int
    length: int


def strongest(ua: Tensor, ub: Tensor, ea: Tensor | None, eb: Tensor | None, grouping: Grouping, kernel: Kernel) -> Tensor:
    """max_j R_ij, equation 4, for every frame i of a and every utterance of b, `[B, N_a]`.

    Args:
        ua: packed frames of a, `[N_a, D]`, of norm 1 (or 0).
        ub: those of b as `grouping` orders them, `[M, D]`.
        ea, eb: burst strengths `[N_a]`, `[M]`; None for a kernel without burst term.
    """
    best = ua.new_empty(len(grouping.lanes), len(ua))
    pairs = len(ua) * len(ub)
    blocks = deque(_blocks(grouping, len(ua), block_size(pairs, ua.device)))
    largest = max((block.count * block.length * (block.part.stop - block.part.start) for block in blocks), default=0)

    def work() -> None:
        memory = ua.new_empty(2, largest)
        for block in taken(blocks):
            columns = slice(block.row, block.row + block.count * block.length)
            scores = resonance(ua, ub, ea, eb, block.part, columns, kernel, memory)
            best[block.lane : block.lane + block.count, block.part] = scores.view(block.count, block.length, -1).amax(dim=1)

    run_everywhere(work, enough=worth_threads(pairs, ua.device))
    return best.index_select(0, grouping.lanes)


def _blocks(grouping: Grouping, frames: int, size: int) -> Iterator[_Block]:
    """Blocks of about `size` frame pairs: several b's with all frames of a, or one b with a part of them."""
    row = lane = 0
    for count, length in grouping.groups:
        several = max(1, min(count, size // max(frames * length, 1)))
        step = frames if several > 1 else max(64, size // length)
        for first in range(0, count, several):
            taken = min(several, count - first)
            for start in range(0, frames, max(step, 1)):  # no frame at all where nothing is finite any more
                yield _Block(slice(start, min(start + step, frames)), row + first * length, lane + first, taken, length)
        row, lane = row + count * length, lane + count
