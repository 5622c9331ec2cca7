"""The conclusions in words, made from the verdicts and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from sere_core.compare.stats.summary import ALPHA, Summary, Verdict

MINUS = "−"


@dataclass(frozen=True)
class Conclusion:
    """What is said of one row.

    Args:
        row: its name.
        role: of the row.
        shown: "better", "worse" or "no difference shown".
        text: the sentences after the name.
    """

    row: str
    role: str
    shown: str
    text: str


def conclusions(summary: Summary) -> list[Conclusion]:
    """One for each row but the reference, in the order of the plan."""
    return [
        Conclusion(each.row, summary.row(each.row).role, each.shown, sentence(each, len(summary.verdicts))) for each in summary.verdicts
    ]


def headline(summary: Summary) -> list[str]:
    """What a reader should take along: the reference against the floor, and against the other methods."""
    roles = {row.row: row.role for row in summary.rows}
    lines = []
    for verdict in summary.verdicts:
        if roles[verdict.row] == "floor" and verdict.difference is not None:
            lines.append(f"{summary.reference} {_turned(verdict.shown)} {verdict.row}, the floor ({points(-verdict.difference)} points).")
    others = [verdict for verdict in summary.verdicts if roles[verdict.row] == "method"]
    if others:
        parts = [
            f"{len(found)} {words}"
            for shown, words in (("better", "better"), ("worse", "worse"), ("no difference shown", "with no difference shown"))
            if (found := [verdict for verdict in others if verdict.shown == shown])
        ]
        lines.append(f"Of {count(len(others), 'other method', 'other methods')} against {summary.reference}: {', '.join(parts)}.")
    if roles.get(summary.reference) == "floor":
        lines.insert(0, f"The reference, {summary.reference}, is the floor: the others are asked whether adapting helps at all.")
    return lines


def sentence(verdict: Verdict, family: int = 1) -> str:
    """A verdict as sentences.

    Args:
        family: for how many rows Holm corrects.

    >>> from sere_core.compare.stats.summary import Interval
    >>> counts = dict(n=18, units=9, pairs=6, wins=10, ties=0, losses=8)
    >>> numbers = dict(difference=0.004, interval=Interval(-0.009, 0.017, "speakers", 30), p_holm=0.4, smallest_detectable=0.021)
    >>> found = Verdict(row="a", reference="b", **counts, **numbers, p_pairs=0.4, shown="no difference shown")
    >>> first, second = sentence(found).split(". ", 1)
    >>> print(first.replace("\\u00a0", " "))
    No difference from b shown: +0.4 points (95 % interval −0.9 to +1.7; p = 0.40 after Holm's correction; 10 won, 8 lost of 18 runs)
    >>> print(second)
    The smallest difference that 9 seeded draws show with 80 % power is 2.1 points.
    """
    if verdict.difference is None:
        return f"It shares no run with {verdict.reference}: nothing can be said."
    interval = ""
    if verdict.interval is not None:
        interval = f"{100 * (1 - ALPHA):g} % interval {points(verdict.interval.low)} to {points(verdict.interval.high)}; "
    ties = f", {verdict.ties} tied" if verdict.ties else ""
    record = f"{verdict.wins} won, {verdict.losses} lost{ties} of {count(verdict.n, 'run', 'runs')}"
    numbers = f"{points(verdict.difference)} points ({interval}{chance(verdict.p_holm, 'p')} after Holm's correction; {record})."
    left = f" {count(len(verdict.missing), 'run is', 'runs are')} missing on one side." if verdict.missing else ""
    if verdict.shown != "no difference shown":
        return f"{verdict.shown.capitalize()} than {verdict.reference}: {numbers}{left}"
    units = count(verdict.units, "seeded draw", "seeded draws")
    if verdict.smallest_detectable is not None:
        power = f"The smallest difference that {units} show with 80 % power is {100 * verdict.smallest_detectable:.1f} points."
    elif verdict.p_least * family >= ALPHA:
        power = f"With {units} no difference, however large, could have been shown."
    else:
        power = f"How large a difference {units} would have shown could not be estimated."
    return f"No difference from {verdict.reference} shown: {numbers} {power}{left}"


def points(value: float | None) -> str:
    """Percentage points with a sign.

    >>> points(-0.0123), points(0.0), points(None)
    ('−1.2', '±0.0', '–')
    """
    if value is None:
        return "–"
    text = f"{abs(100 * value):.1f}"
    sign = "±" if text == "0.0" else "+" if value > 0 else MINUS
    return sign + text


def chance(p: float, name: str = "") -> str:
    """A probability with as many digits as mean something; with its name, an equation that is not broken at the end of a line.

    >>> chance(0.0001), chance(0.0123, "p"), chance(0.0001, "p")
    ('<0.001', 'p\\xa0=\\xa00.012', 'p\\xa0<\\xa00.001')
    """
    number = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
    if p < 0.001:
        return f"{name}\u00a0<\u00a00.001" if name else "<0.001"
    return f"{name}\u00a0=\u00a0{number}" if name else number


def count(number: int, one: str, many: str) -> str:
    """A number with its noun.

    >>> count(1, "run", "runs"), count(3, "run", "runs")
    ('1 run', '3 runs')
    """
    return f"{number} {one if number == 1 else many}"


def _turned(shown: str) -> str:
    """A verdict on a row, said of the reference."""
    return {"better": "is worse than", "worse": "is better than", "no difference shown": "is not shown to differ from"}[shown]
