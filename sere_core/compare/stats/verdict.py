"""Every row against the reference: paired tests, corrected for their number, with intervals and what could have been shown."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from sere_core.compare.facts import Results, uar
from sere_core.compare.stats.multiple import holm
from sere_core.compare.stats.paired import EPSILON, Paired, paired
from sere_core.compare.stats.places import Places, lacking, shared, sides
from sere_core.compare.stats.power import smallest_detectable
from sere_core.compare.stats.replicates import Replicates
from sere_core.compare.stats.summary import Interval, Shown, Unit, Verdict

__all__ = ["Verdict", "compare_rows", "verdicts"]


def verdicts(results: Results, *, unit: Unit = "draw", alpha: float = 0.05, replicates: Replicates | None = None) -> tuple[Verdict, ...]:
    """Each row of the plan against its reference, in the order of the plan.

    "better" and "worse" need two things: p < alpha after Holm's correction over all rows, which covers the draw of shots, folds
    and initial weights; and a bootstrap interval without 0, which covers the choice of test speakers.  Anything else is
    "no difference shown", which is not "no difference": `smallest_detectable` says what could have been shown.

    Args:
        results: only runs that are there for both rows are compared; the others are named in `missing`.
        unit: what is taken as independent; see `sere_core.compare.stats.paired`.
        alpha: chance of any false alarm in the table.
        replicates: made from `results` if not given.
    """
    resampled = replicates or Replicates(results)
    reference = results.plan.reference
    others = [row.name for row in results.plan.rows if row.name != reference]
    tests = [_test(results, row, reference, unit, resampled) for row in others]
    corrected = holm([test.found.p if test.found else 1.0 for test in tests])
    return tuple(
        _verdict(results, row, reference, unit, alpha, test, p, len(others)) for row, test, p in zip(others, tests, corrected, strict=True)
    )


def compare_rows(results: Results, row: str, reference: str, unit: Unit = "draw") -> Paired | None:
    """Two rows over the runs that both have; None if they share none.

    With unit "fold" only runs count whose folds are the same, by the digest of their records.
    """
    values: list[float] = []
    pairs: list[str] = []
    units: list[Hashable] = []
    for pair, seeds in shared(results, row, reference).items():
        for seed in seeds:
            one, other = results.runs[row, pair, seed], results.runs[reference, pair, seed]
            if unit != "fold":
                found: Sequence[tuple[Hashable, float]] = [(_unit(unit, pair, seed), one.uar - other.uar)]
            elif one.confusion.shape == other.confusion.shape and one.digests.get("folds") == other.digests.get("folds"):
                found = [((pair, seed, fold), float(each)) for fold, each in enumerate(uar(one.confusion) - uar(other.confusion))]
            else:
                continue
            pairs += [pair] * len(found)
            units += [name for name, _ in found]
            values += [value for _, value in found]
    return paired(values, pairs, units) if values else None


def _unit(unit: Unit, pair: str, seed: int) -> Hashable:
    if unit == "pair":
        return pair
    return (sides(pair)[0] or pair if unit == "draw" else pair, seed)


@dataclass(frozen=True)
class _Test:
    found: Paired | None
    by_pair: Paired | None
    runs: tuple[float, ...]
    interval: Interval | None


def _test(results: Results, row: str, reference: str, unit: Unit, replicates: Replicates) -> _Test:
    places: Places = shared(results, row, reference)
    interval = replicates.difference(row, reference, places) if places else None
    found, by_pair = (compare_rows(results, row, reference, each) for each in (unit, "pair"))
    runs = tuple(results.runs[row, pair, seed].uar - results.runs[reference, pair, seed].uar for pair in places for seed in places[pair])
    return _Test(found, by_pair, runs, interval)


def _verdict(results: Results, row: str, reference: str, unit: Unit, alpha: float, test: _Test, corrected: float, family: int) -> Verdict:
    found, by_pair = test.found, test.by_pair
    missing = lacking(results, row, reference)
    if found is None or by_pair is None:
        return Verdict(row, reference, None, None, 1.0, corrected, 1.0, 1.0, 1.0, None, 0.0, 0, 0, unit, 0, 0, 0, 0, _NONE, None, missing)
    return Verdict(
        row=row,
        reference=reference,
        difference=found.difference,
        interval=test.interval,
        p=found.p,
        p_holm=corrected,
        p_least=found.p_least,
        p_wilcoxon=found.p_wilcoxon,
        p_pairs=by_pair.p,
        effect=found.effect,
        rank_biserial=found.rank_biserial,
        n=len(test.runs),
        units=found.units,
        unit=unit,
        pairs=found.pairs,
        wins=sum(value > EPSILON for value in test.runs),
        ties=sum(abs(value) <= EPSILON for value in test.runs),
        losses=sum(value < -EPSILON for value in test.runs),
        shown=_shown(found.difference, corrected, test.interval, alpha),
        smallest_detectable=smallest_detectable(found.std, found.units, alpha / family),
        missing=missing,
    )


_NONE: Shown = "no difference shown"


def _shown(difference: float, p: float, interval: Interval | None, alpha: float) -> Shown:
    """An interval on the other side of 0 than the difference shows neither."""
    if p >= alpha or interval is None:
        return _NONE
    if difference > 0 and interval.low > 0:
        return "better"
    return "worse" if difference < 0 and interval.high < 0 else _NONE
