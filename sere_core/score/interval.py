"""The 95 % interval of one run's UAR: test speakers resampled, or utterances where speakers are unknown."""

from __future__ import annotations

import numpy as np

from sere_core.compare.stats.bootstrap import (
    REPLICATES,
    Interval,
    binomial_recalls,
    draw_speakers,
    expanded_percentile,
    fold_mean_uar,
)
from sere_core.score.records import Data


def uar_interval(scores: Data) -> Interval | None:
    """The interval of the mean UAR over folds; see `sere_core.compare.stats.bootstrap` for what it covers and what not.

    Args:
        scores: what scores.json holds.

    Returns:
        None where a single speaker, or a single utterance, was scored.
    """
    speakers = [(fold["fold"], each["confusion"]) for fold in scores["folds"] for each in fold["speakers"]]
    pooled = np.array(scores["pooled"]["confusion"])
    if speakers and sum(np.sum(confusion) for _, confusion in speakers) == pooled.sum():
        counts = np.array([[confusion for _, confusion in speakers]])
        weights = draw_speakers(len(speakers), REPLICATES, 0, "run")
        found = fold_mean_uar(weights, counts, [fold for fold, _ in speakers])[:, 0]
        how, n = "speakers", len(speakers)
    else:
        support = pooled.sum(axis=1)
        kept = np.flatnonzero(support)
        recall = np.diagonal(pooled)[kept] / support[kept]
        uniforms = np.random.default_rng(0).random((REPLICATES, len(kept)))
        deviations = (binomial_recalls(uniforms, support[kept], recall) - recall).mean(axis=1)
        found, how, n = scores["mean"]["uar"] + deviations, "utterances", int(support.sum())
    ends = expanded_percentile([found], [n])
    return None if ends is None else Interval(*ends, how, n)  # type: ignore[arg-type]
