"""The 95 % interval of a run's UAR: what each test speaker, or each utterance where speakers are unknown, adds to its error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from sere_core.score.metrics import Counts
from sere_core.score.records import Data

Array = NDArray[np.float64]

#: the level of intervals and tests is 1 - ALPHA
ALPHA = 0.05
#: variances no larger are rounding
NOTHING = 1e-18

#: whose choice an interval covers
How = Literal["speakers", "utterances", "speakers and utterances"]


@dataclass(frozen=True)
class Interval:
    """A 95 % interval: its ends, whose choice it covers, and how many they are."""

    low: float
    high: float
    how: How
    n: int


def t_interval(mean: float, variance: float, freedom: float, how: How, n: int) -> Interval:
    half = math.sqrt(variance) * float(stdtrit(freedom, 1 - ALPHA / 2))
    return Interval(mean - half, mean + half, how, n)


def by_speaker(counts: Counts, folds: Sequence[int]) -> Array:
    """The influence `[S]` of each speaker on the mean over folds of the UAR, which is linear but for the classes' supports.

    A speaker adds hits h and utterances n of class c to the fold's: (h - n r) / (N C F), for r the recall over all folds, N
    the fold's utterances of the class, C its classes and F the folds (A. C. Davison & D. V. Hinkley, Bootstrap Methods and
    their Application, 1997, section 2.7).

    Args:
        counts: `[S, C, C]`, rows true, columns predicted.
        folds: `[S]`, the fold that scored each speaker.
    """
    support = counts.sum(axis=-1)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    recall = hits.sum(axis=0) / np.maximum(support.sum(axis=0), 1)
    together = np.equal.outer(folds, folds).astype(np.float64)
    wholes = together @ support  # of each speaker's fold
    shares = np.maximum(wholes, 1) * (wholes > 0).sum(axis=1, keepdims=True) * len(set(folds))
    found: Array = ((hits - support * recall) / shares).sum(axis=1)
    return found


def by_utterance(confusion: Counts) -> list[Array]:
    """The influences of a class's utterances on the UAR of all, those that are right first, for each class."""
    support, hits = confusion.sum(axis=-1), np.diagonal(confusion)
    scale = np.maximum(support, 1) * (support > 0).sum()
    return [np.repeat([1 - h / max(n, 1), -h / max(n, 1)], [h, n - h]) / k for h, n, k in zip(hits, support, scale, strict=True)]


def variance(influences: Array) -> float:
    """Of a sum over clusters, from their influences; NaN for a single one."""
    size = len(influences)
    return float((influences**2).sum()) * size / (size - 1) if size > 1 else math.nan


def uar_interval(scores: Data) -> Interval | None:
    """The t interval of the mean UAR over folds: it covers who is tested, not shots, initial weights or the corpus.

    Args:
        scores: what scores.json holds.

    Returns:
        None where a single speaker, or a single utterance, was scored, and where nothing varies between them.
    """
    speakers = [(fold["fold"], each["confusion"]) for fold in scores["folds"] for each in fold["speakers"]]
    pooled = np.array(scores["pooled"]["confusion"])
    how: How = "utterances"
    if speakers and sum(np.sum(confusion) for _, confusion in speakers) == pooled.sum():
        how, found = "speakers", by_speaker(np.array([confusion for _, confusion in speakers]), [fold for fold, _ in speakers])
    else:
        found = np.concatenate(by_utterance(pooled))
    error = variance(found)
    if not error > NOTHING:
        return None
    interval = t_interval(scores["mean"]["uar"], error, len(found) - 1, how, len(found))
    return Interval(max(interval.low, 0.0), min(interval.high, 1.0), how, len(found))
