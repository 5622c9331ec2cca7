"""What statistics hand to tables, figures and reports: plain frozen data, scores in [0, 1], `None` where there is no number (never NaN).

`sere_core.compare.stats.summarise.summarise(results)` makes a `Summary`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from sere_core.compare.stats.paired import Paired

#: the level of the tests after correction; intervals are of 1 - ALPHA
ALPHA = 0.05

Shown = Literal["better", "worse", "no difference shown"]

#: what was resampled for an interval: test speakers; utterances (speakers unknown); speakers in some pairs and utterances in others
How = Literal["speakers", "utterances", "speakers and utterances"]


@dataclass(frozen=True)
class Spread:
    """The mean of n values and their standard deviation with n - 1, None for n = 1."""

    mean: float
    std: float | None
    n: int


def spread(values: Sequence[float]) -> Spread:
    """Mean and deviation of `[n]` values.

    The deviation is of the values, not of their mean: over seeds it says how much a single run varies with its draw of
    shots, folds and initial weights, on the same test speakers.

    Raises:
        ValueError: no values, or one that is not finite.

    >>> spread([0.25, 0.5, 0.75]), spread([0.5])
    (Spread(mean=0.5, std=0.25, n=3), Spread(mean=0.5, std=None, n=1))
    """
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError("a spread needs at least one value, and finite ones")
    numbers = [float(value) for value in values]
    return Spread(fmean(numbers), stdev(numbers) if len(numbers) > 1 else None, len(numbers))


@dataclass(frozen=True)
class Interval:
    """A 95 % bootstrap interval: its ends, what was resampled, and of how many speakers (or utterances)."""

    low: float
    high: float
    how: How
    n: int


@dataclass(frozen=True)
class PairSummary:
    """One row in one pair: a cell of the table.

    Args:
        uar: over seeds, of the mean over folds.
        by_seed: seed -> UAR, in the order of the plan.
        interval: of the mean over seeds; None with a single speaker.
        recall: class -> recall over the summed folds, mean over seeds; classes that were not scored are missing.
        genders: "female", "male" -> UAR of those speakers' utterances over the summed folds, mean over seeds; empty where unknown.
        missing: the seeds that have no record.
    """

    uar: Spread
    by_seed: Mapping[int, float]
    interval: Interval | None
    recall: Mapping[str, float]
    genders: Mapping[str, float]
    missing: tuple[int, ...] = ()


@dataclass(frozen=True)
class RowSummary:
    """One row of the table.

    Args:
        pairs: pair -> its cell, in the order of the plan; pairs without any record are missing.
        mean, interval: over pairs, of means over seeds; None if the row has no run.
        recall, genders: means over the pairs where they are known.
        rank: average rank over pairs, 1 is best; None if it is not ranked (see `Ranking.left_out`).
        seconds, phases, peak_mib, parameters: medians over the runs where they are known.
        missing: (pair, seed) without a record.
    """

    row: str
    role: str
    pairs: Mapping[str, PairSummary]
    mean: Spread | None
    interval: Interval | None
    recall: Mapping[str, float]
    genders: Mapping[str, float]
    rank: float | None
    seconds: float | None
    phases: Mapping[str, float]
    peak_mib: float | None
    parameters: float | None
    missing: tuple[tuple[str, int], ...] = ()

    @property
    def complete(self) -> bool:
        """Is every run of the plan there?  Means of incomplete rows are not comparable with others."""
        return not self.missing


@dataclass(frozen=True, kw_only=True)
class Verdict(Paired):
    """A row against the reference, over the (pair, seed) that have a record of both; the tests' units are draws.

    Args:
        interval: of the difference; test speakers resampled, paired.
        p_holm: p after Holm's correction over all rows of the comparison.  Where `p_least` times the family is above alpha
            nothing could have been shown.
        p_pairs: the permutation test over pair means: the only one that speaks about other pairs than these; uncorrected.
        shown: "better" or "worse" needs p_holm < ALPHA and an interval without 0.
        smallest_detectable: the smallest mean difference that so many units show with 80 % power; None where none could be shown.
        missing: (pair, seed) of the plan left out, for lack of a record of the row or of the reference.
    """

    row: str
    reference: str
    interval: Interval | None
    p_holm: float
    p_pairs: float
    shown: Shown
    smallest_detectable: float | None
    missing: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Ranking:
    """Average ranks over pairs: the data of a critical-difference diagram.

    Args:
        rows, average: from the best average rank to the worst; ceilings are not ranked.
        blocks: the pairs that were ranked, each by the mean over the seeds that all `rows` share.
        friedman_p: Friedman's test that all rows are alike; None with fewer than three rows or two blocks.
        critical: Nemenyi's critical difference of average ranks at `ALPHA`.
        groups: maximal sets of neighbours in `rows` that differ by less than `critical`: the bars of the diagram.
        left_out: rows that could not be ranked, pairs that were left out: as lines.
    """

    rows: tuple[str, ...]
    average: tuple[float, ...]
    blocks: tuple[str, ...]
    friedman_p: float | None
    critical: float
    groups: tuple[tuple[str, ...], ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """A comparison, computed.

    Args:
        rows, verdicts: in the order of the plan; verdicts on every row but the reference.
        ranking: None if fewer than two rows have a pair in common.
        chance: pair -> 1/C.
        notes: what the numbers mean and what they do not cover, as sentences for the reader.
    """

    reference: str
    rows: tuple[RowSummary, ...]
    verdicts: tuple[Verdict, ...]
    ranking: Ranking | None
    chance: Mapping[str, float]
    notes: tuple[str, ...] = ()

    def row(self, name: str) -> RowSummary:
        return next(row for row in self.rows if row.row == name)

    def verdict(self, name: str) -> Verdict | None:
        """The verdict on the row of that name; None for the reference itself."""
        return next((verdict for verdict in self.verdicts if verdict.row == name), None)
