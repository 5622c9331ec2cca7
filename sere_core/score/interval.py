"""95 % intervals of a UAR by the bootstrap: test speakers resampled, or utterances where speakers are unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit
from scipy.stats import binom

from sere_core.rng import derive
from sere_core.score.metrics import class_mean
from sere_core.score.records import Data

Array = NDArray[np.float64]

REPLICATES = 2000
#: the level of intervals and tests is 1 - ALPHA
ALPHA = 0.05

#: what was resampled for an interval
How = Literal["speakers", "utterances", "speakers and utterances"]


@dataclass(frozen=True)
class Interval:
    """A 95 % bootstrap interval: its ends, what was resampled, and of how many."""

    low: float
    high: float
    how: How
    n: int


def draw_speakers(speakers: int, replicates: int, seed: int, target: str) -> Array:
    """How often each speaker was drawn: `[B, S]`; `seed` and `target` name the draw."""
    generator = np.random.default_rng(derive(seed, "bootstrap", target))
    return generator.multinomial(speakers, np.full(speakers, 1 / speakers), size=replicates).astype(np.float64)


def fold_mean_uar(weights: Array, by_speaker: NDArray[np.int64], folds: Sequence[int]) -> Array:
    """The mean over folds of the UAR, in each replicate, of R runs that scored the same utterances (else ValueError).

    A class without utterances is left out of a fold's UAR, and a fold of whose speakers none was drawn out of the mean.

    Args:
        weights: `[B, S]`, how often each speaker counts.
        by_speaker: `[R, S, C, C]`, counts, rows true, columns predicted.
        folds: `[S]`, the fold that scored each speaker.

    Returns:
        `[B, R]` in [0, 1]; NaN where no speaker was drawn at all.
    """
    support = by_speaker[0].sum(axis=-1).astype(np.float64)
    if not (by_speaker.sum(axis=-1) == support).all():
        raise ValueError("runs that are resampled together must have scored the same utterances")
    hits = np.diagonal(by_speaker, axis1=-2, axis2=-1).astype(np.float64)
    fold_of = np.asarray(folds)
    found, scored = np.zeros((len(weights), len(hits))), np.zeros((len(weights), 1))
    for fold in np.unique(fold_of):
        members = np.flatnonzero(fold_of == fold)
        drawn = weights[:, members] @ support[members]  # [B, C]
        right = np.tensordot(weights[:, members], hits[:, members], axes=(1, 1))  # [B, R, C]
        present = drawn.any(axis=1, keepdims=True)
        found += np.where(present, class_mean(right, drawn[:, None]), 0.0)
        scored += present
    return np.divide(found, scored, out=np.full_like(found, np.nan), where=scored > 0)


def binomial_recalls(uniforms: Array, support: NDArray[np.int64], recall: Array) -> Array:
    """Recalls with utterances resampled within each true class: `[B, C]`, for corpora that do not know speakers.

    `uniforms` `[B, C]` in (0, 1) become binomial numbers of hits by inversion; `support` and `recall` are `[C]`.
    """
    found: Array = binom.ppf(uniforms, support, recall) / support
    return found


def expanded_percentile(parts: Sequence[Array], clusters: Sequence[int]) -> tuple[float, float] | None:
    """Both ends of the interval of a sum of `parts`, `[B]` for each corpus, resampled from `clusters` speakers.

    Plain percentiles are too narrow for few clusters: the quantiles are taken at Phi(-sqrt(n / (n - 1)) t_{n-1, alpha/2})
    (T. C. Hesterberg, The American Statistician 69, 2015), with Welch and Satterthwaite's degrees of freedom for several corpora.
    None if a corpus has a single cluster; ValueError without parts.
    """
    if not parts or len(parts) != len(clusters):
        raise ValueError("one array for each corpus, and at least one")
    if min(clusters) < 2:
        return None
    sizes = np.asarray(clusters, dtype=np.float64)
    variances = np.array([part.var() for part in parts])
    total = np.sum(parts, axis=0)
    if not variances.any():
        return float(total.min()), float(total.max())
    inflated = variances * sizes / (sizes - 1)
    freedom = inflated.sum() ** 2 / (inflated**2 / (sizes - 1)).sum()
    scale = np.sqrt(inflated.sum() / variances.sum())
    tail = float(ndtr(scale * stdtrit(freedom, ALPHA / 2)))
    low, high = np.quantile(total, [tail, 1 - tail])
    return float(low), float(high)


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
