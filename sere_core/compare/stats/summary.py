"""What statistics hand to tables, figures and reports: plain frozen data, scores in [0, 1], `None` where there is no number (never NaN).

`sere_core.compare.stats.summarise.summarise(results)` makes a `Summary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Shown = Literal["better", "worse", "no difference shown"]

#: what was resampled for an interval: test speakers; utterances (speakers unknown); speakers in some pairs and utterances in others
How = Literal["speakers", "utterances", "speakers and utterances"]

#: what a paired test takes as independent; see `sere_core.compare.stats.paired`
Unit = Literal["draw", "run", "pair", "fold"]


@dataclass(frozen=True)
class Spread:
    """A mean that never goes without its n.

    Args:
        mean: of the n values.
        std: with n - 1; None for n = 1.
        n: how many values.
    """

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class Interval:
    """A bootstrap interval.

    Args:
        low, high: its ends.
        how: what was resampled.
        n: of how many speakers (or utterances).
        level: its nominal coverage.
    """

    low: float
    high: float
    how: How
    n: int
    level: float = 0.95

    @property
    def excludes_zero(self) -> bool:
        """Do both ends lie on the same side of 0?"""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class PairSummary:
    """One row in one pair: a cell of the table.

    Args:
        pair: its name.
        source, target: corpora; "" where the name of the pair does not tell.
        uar: mean over seeds (of the mean over folds) with its spread over seeds.
        by_seed: seed -> UAR, in the order of the plan.
        interval: of the mean over seeds; what it covers is the choice of test speakers.  None with a single speaker.
        recall: class -> recall over the summed folds, mean over seeds; classes that were not scored are missing.
        genders: "female", "male" -> UAR of those speakers' utterances over the summed folds, mean over seeds; empty where unknown.
        missing: the seeds that have no record.
    """

    pair: str
    source: str
    target: str
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
        row, role, tuning: as in the plan.
        protocols, selections, evidence: the different values among its runs, sorted; one each in a sound comparison of one setting
            (the protocol names the pair, so there is one for each pair).
        pairs: pair -> its cell, in the order of the plan; pairs without any record are missing.
        mean: over pairs (of means over seeds); n is the number of pairs.  None if the row has no run.
        interval: of that mean.
        within: mean over the pairs whose source is their target; None without any.
        across: mean over the other pairs; None without any.
        recall: class -> mean over the pairs that score it.
        genders: "female", "male" -> mean over the pairs where genders are known.
        rank: average rank over pairs, 1 is best; None if it is not ranked (see `Ranking.left_out`).
        seconds: median over runs of all phases' seconds.
        phases: phase -> median seconds.
        peak_mib, parameters: medians over the runs where they are known.
        missing: (pair, seed) without a record.
    """

    row: str
    role: str
    tuning: str
    protocols: tuple[str, ...]
    selections: tuple[str, ...]
    evidence: tuple[str, ...]
    pairs: Mapping[str, PairSummary]
    mean: Spread | None
    interval: Interval | None
    within: Spread | None
    across: Spread | None
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


@dataclass(frozen=True)
class Verdict:
    """A row against the reference, over the (pair, seed) that have a record of both.

    Args:
        row, reference: their names.
        difference: mean over pairs of the mean over seeds of row minus reference; None if they share no run.
        interval: of the difference; test speakers resampled, paired.
        p: two-sided sign-flip permutation test over `units` (what is flipped together is `unit`).
        p_holm: p after Holm's correction over all rows of the comparison.
        p_least: the smallest p that so many units can give; where `p_least` times the family is above alpha nothing could have been shown.
        p_wilcoxon: Wilcoxon signed-rank test over the same units, uncorrected, as a second opinion.
        p_pairs: the permutation test over pair means: the only one that speaks about other pairs than these; uncorrected.
        effect: Cohen's d_z over units; None where the differences do not vary.
        rank_biserial: matched-pairs rank-biserial correlation over units, in [-1, 1].
        n: shared runs (pair x seed).
        units: independent units of the test.
        unit: what a unit is.
        pairs: shared pairs.
        wins, ties, losses: of the row, over shared runs.
        shown: "better" or "worse" needs p_holm < alpha and an interval without 0.
        smallest_detectable: the smallest mean difference that this many units show with 80 % power; None where none could be shown.
        missing: (pair, seed) of the plan left out, for lack of a record of the row or of the reference.
    """

    row: str
    reference: str
    difference: float | None
    interval: Interval | None
    p: float
    p_holm: float
    p_least: float
    p_wilcoxon: float
    p_pairs: float
    effect: float | None
    rank_biserial: float
    n: int
    units: int
    unit: Unit
    pairs: int
    wins: int
    ties: int
    losses: int
    shown: Shown
    smallest_detectable: float | None
    missing: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Ranking:
    """Average ranks over pairs: the data of a critical-difference diagram.

    Args:
        rows: from the best average rank to the worst; ceilings are not ranked.
        average: the average rank of each, 1 is best.
        blocks: the pairs that were ranked; each with the mean over the seeds that all `rows` share.
        friedman_p: Friedman's test that all rows are alike; None with fewer than three rows or two blocks.
        critical: Nemenyi's critical difference of average ranks at `alpha`.
        groups: maximal sets of neighbours in `rows` that differ by less than `critical`: the bars of the diagram.
        left_out: rows that could not be ranked, pairs that were left out: as lines.
        alpha: the level.
    """

    rows: tuple[str, ...]
    average: tuple[float, ...]
    blocks: tuple[str, ...]
    friedman_p: float | None
    critical: float
    groups: tuple[tuple[str, ...], ...]
    left_out: tuple[str, ...] = ()
    alpha: float = 0.05


@dataclass(frozen=True)
class Summary:
    """A comparison, computed.

    Args:
        name: of the comparison.
        reference: the row that the others are tested against.
        rows: in the order of the plan.
        verdicts: every other row against the reference, in the order of the plan.
        ranking: None if fewer than two rows have a pair in common.
        chance: pair -> 1/C.
        alpha: level of the tests after correction.
        replicates: of the bootstrap.
        notes: what the numbers mean and what they do not cover, as sentences for the reader.
    """

    name: str
    reference: str
    rows: tuple[RowSummary, ...]
    verdicts: tuple[Verdict, ...]
    ranking: Ranking | None
    chance: Mapping[str, float]
    alpha: float = 0.05
    replicates: int = 2000
    notes: tuple[str, ...] = field(default=())

    def row(self, name: str) -> RowSummary:
        """The row of that name."""
        return next(row for row in self.rows if row.row == name)

    def verdict(self, name: str) -> Verdict | None:
        """The verdict on the row of that name; None for the reference itself."""
        return next((verdict for verdict in self.verdicts if verdict.row == name), None)
