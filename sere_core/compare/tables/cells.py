"""Cells from a summary's numbers."""

from __future__ import annotations

from sere_core.compare.stats.summary import Interval, PairSummary, RowSummary, Verdict
from sere_core.compare.tables.model import Cell, Column, number, plain

NONE = Cell("-")


def of_pair(pair: PairSummary | None) -> Cell:
    """UAR over seeds; fewer seeds than planned are said."""
    if pair is None:
        return Cell("-", data=(None, None, 0))
    spread = "" if pair.uar.std is None else number(pair.uar.std)
    more = f"n={pair.uar.n}" if pair.missing else ""
    return Cell(number(pair.uar.mean), spread, more, data=(_exact(pair.uar.mean), _exact(pair.uar.std), pair.uar.n))


def of_mean(row: RowSummary, pairs: int, verdict: Verdict | None) -> Cell:
    """The mean over pairs; in parentheses where runs are missing, since it is of other runs than its neighbours' then."""
    if row.mean is None:
        return Cell("-", data=(None,))
    shown = number(row.mean.mean)
    text = shown if row.complete and row.mean.n == pairs else f"({shown})"
    mark = verdict.shown if verdict and verdict.shown != "no difference shown" else ""
    return Cell(text, mark=mark, data=(_exact(row.mean.mean),))


def of_interval(interval: Interval | None) -> Cell:
    """Its two ends."""
    if interval is None:
        return Cell("-", data=(None, None))
    return Cell(f"{number(interval.low)}..{number(interval.high)}", data=(_exact(interval.low), _exact(interval.high)))


def of_count(row: RowSummary, planned: int) -> Cell:
    """How many runs there are, and of how many if some are missing."""
    found = planned - len(row.missing)
    return Cell(str(found) if found == planned else f"{found}/{planned}", data=(found, planned))


def of_rank(rank: float | None) -> Cell:
    """The average rank over pairs."""
    return Cell(number(rank, percent=False, digits=2), data=(rank,))


def of_verdict(verdict: Verdict | None) -> tuple[Cell, ...]:
    """Difference, wins/ties/losses, corrected p, and the words; all empty for the reference itself."""
    if verdict is None:
        return (Cell("", data=(None,)), Cell("", data=(None, None, None)), Cell("", data=(None,)), Cell("reference", data=("reference",)))
    if verdict.difference is None:
        return (Cell("-", data=(None,)), Cell("-", data=(0, 0, 0)), Cell("-", data=(None,)), Cell("no run in common", data=("",)))
    counts = (verdict.wins, verdict.ties, verdict.losses)
    return (
        Cell(f"{100 * verdict.difference:+.1f}", data=(_exact(verdict.difference),)),
        Cell("/".join(map(str, counts)), data=counts),
        Cell(probability(verdict.p_holm), data=(verdict.p_holm,)),
        Cell(verdict.shown, data=(verdict.shown,)),
    )


def verdict_columns(reference: str) -> tuple[Column, ...]:
    """The columns of `of_verdict`."""
    return (
        Column("diff.", ("difference",), "against"),
        Column("w/t/l", ("wins", "ties", "losses"), "against"),
        Column("p (Holm)", ("p_holm",), "against"),
        Column(f"against {plain(reference)}", ("shown",), "against", text=True),
    )


def probability(p: float) -> str:
    """A p-value as it is shown.

    >>> probability(0.0312), probability(0.0002), probability(1.0)
    ('0.031', '<0.001', '1.000')
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _exact(ratio: float | None) -> float | None:
    """In percent, for CSV."""
    return None if ratio is None else round(100 * ratio, 6)
