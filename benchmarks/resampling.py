"""How fast the speaker-clustered bootstrap is, as a ratio to the loop that its definition says.

    python benchmarks/resampling.py [--replicates 2000] [--speakers 24]

Six pairs, five seeds, twelve rows.  The loop goes over replicates, runs and folds, sums the drawn speakers' counts and takes
the UAR; it is timed on a few replicates, which it shares with the matrix version, and both must agree.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.stats.bootstrap import draw_speakers, fold_mean_uar
from sere_core.score.metrics import uar

CLASSES, FOLDS, ROWS, PAIRS, SEEDS = 7, 5, 12, 6, 5
LOOPED = 4


def main() -> None:
    """Print the times and their ratio."""
    parser = argparse.ArgumentParser(description="the bootstrap in matrix products against a loop")
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--speakers", type=int, default=24)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    folds = [speaker % FOLDS for speaker in range(options.speakers)]
    blocks = [_block(generator, options.speakers) for _ in range(PAIRS * SEEDS)]
    weights = draw_speakers(options.speakers, options.replicates, 0, "target")

    began = time.perf_counter()
    found = [fold_mean_uar(weights, block, folds) for block in blocks]
    fast = time.perf_counter() - began

    began = time.perf_counter()
    looped = [[[_replicate(row, run, folds) for run in block] for row in weights[:LOOPED]] for block in blocks]
    slow = (time.perf_counter() - began) * options.replicates / LOOPED

    np.testing.assert_allclose(np.array([block[:LOOPED] for block in found]), looped, rtol=1e-12)
    runs = len(blocks) * ROWS
    print(f"{runs} runs x {options.replicates} replicates, {options.speakers} speakers, {CLASSES} classes, {FOLDS} folds")
    print(f"matrix products {fast:.2f} s; loop {slow:.0f} s (from {LOOPED} replicates); ratio {slow / fast:.0f}")


def _block(generator: np.random.Generator, speakers: int) -> NDArray[np.int64]:
    """`[ROWS, S, C, C]`: runs of one pair and seed."""
    shares = np.full((CLASSES, CLASSES), 0.4 / (CLASSES - 1))
    np.fill_diagonal(shares, 0.6)
    return generator.multinomial(8, shares, size=(ROWS, speakers, CLASSES))


def _replicate(weights: NDArray[np.float64], counts: NDArray[Any], folds: Sequence[int]) -> float:
    by_fold = np.zeros((FOLDS, CLASSES, CLASSES))
    for times, speaker, fold in zip(weights, counts, folds, strict=True):
        by_fold[fold] += times * speaker
    return float(np.mean([uar(fold) for fold in by_fold if fold.sum()]))


if __name__ == "__main__":
    main()
