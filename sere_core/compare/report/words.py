"""What the page says in words: the verdicts, and what was compared and how."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sere_core.compare.reading import Results
from sere_core.compare.stats.summary import Summary, Verdict
from sere_core.config.nodes import leaves
from sere_core.score.interval import ALPHA
from sere_core.tables import Cell, Column, Line, Table
from sere_registry.errors import counted

MINUS = "−"


def headline(summary: Summary) -> list[str]:
    roles = {row.row: row.role for row in summary.rows}
    turned = {
        "better": "is worse than",
        "worse": "is better than",
        "equivalent": f"is equivalent within {summary.margin:g} points to",
        "no difference shown": "is not shown to differ from",
    }
    lines = []
    if roles.get(summary.reference) == "floor":
        lines.append(f"The reference, {summary.reference}, is the floor: the others show whether adapting helps at all.")
    for verdict in summary.verdicts:
        if roles[verdict.row] == "floor" and verdict.difference is not None:
            than = turned[verdict.shown] if verdict.interval else "is untested against"
            lines.append(f"{summary.reference} {than} {verdict.row}, the floor ({points(-verdict.difference)} points).")
    others = Counter(verdict.shown if verdict.interval else "untested" for verdict in summary.verdicts if roles[verdict.row] == "method")
    if others:
        words = {"no difference shown": "with no difference shown"}
        parts = ", ".join(f"{others[kind]} {words.get(kind, kind)}" for kind in (*turned, "untested") if others[kind])
        found = counted(others.total(), "other method")
        lines.append(f"Of {found} against {summary.reference}: {parts}.")
    return lines


def sentence(verdict: Verdict, margin: float) -> str:
    """A verdict as sentences; `margin` is that of equivalence, in points."""
    if verdict.difference is None:
        return f"It shares no run with {verdict.reference}: nothing can be said."
    ties = f", {verdict.ties} tied" if verdict.ties else ""
    record = f"{verdict.wins} won, {verdict.losses} lost{ties} of {counted(verdict.n, 'run')}"
    left = f" Missing on one side: {counted(len(verdict.missing), 'run')}." if verdict.missing else ""
    if verdict.interval is None or verdict.detectable is None:
        return f"Its error is not known, so nothing is shown: {points(verdict.difference)} points ({record}).{left}"
    ends = f"{100 * (1 - ALPHA):g} % interval {points(verdict.interval.low)} to {points(verdict.interval.high)}"
    numbers = f"{points(verdict.difference)} points ({ends}; {p_equals(verdict.p_holm)} after Holm's correction; {record})."
    if verdict.shown == "equivalent":
        return f"Equivalent to {verdict.reference} within {margin:g} points: {numbers}{left}"
    if verdict.shown != "no difference shown":
        return f"{verdict.shown.capitalize()} than {verdict.reference}: {numbers}{left}"
    power = f"The smallest difference that is shown with 80 % power is {100 * verdict.detectable:.1f} points."
    return f"No difference from {verdict.reference} shown: {numbers} {power}{left}"


def points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+z.1f}".replace("-", MINUS)


def chance(p: float) -> str:
    """A probability with as many digits as mean something."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def p_equals(p: float) -> str:
    """As an equation that is not broken at the end of a line."""
    return "p\u00a0<\u00a00.001" if p < 0.001 else f"p\u00a0=\u00a0{chance(p)}"


def settings(results: Results) -> dict[str, str]:
    plan, runs = results.plan, results.runs.values()
    lines = {
        "comparison": plan.name,
        "reference row": plan.reference,
        "pairs": ", ".join(plan.pairs),
        "seeds": ", ".join(map(str, plan.seeds)),
        "runs": f"{len(runs)} of {len(plan.rows) * len(plan.pairs) * len(plan.seeds)} have a finished record",
        "budget of every run": flat(plan.budget),
        "selection rule": _listed(facts.selection for facts in runs),
        "evidence": _listed(facts.evidence for facts in runs),
    }
    for section in ("task", "train", "features"):
        if isinstance(settings := results.config.get(section), Mapping):
            lines[f"{section} (reference row)"] = flat(settings)
    openings = sum((Counter(facts.openings) for facts in runs), Counter[str]())
    opened = ", ".join(f"{number:,} by {opener}" for opener, number in sorted(openings.items()))
    lines["target labels opened"] = opened or "none recorded"
    first = min(results.runs, key=lambda place: place[0] != plan.reference, default=None)
    if first is not None:
        lines["versions"] = flat(results.runs[first].versions)
    return lines


def frequencies(runs: Iterable[Iterable[str]]) -> list[tuple[str, int]]:
    """Each line once, the most frequent first, with the number of runs that have it."""
    found = Counter(line for lines in runs for line in dict.fromkeys(lines))
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))


def digests(results: Results) -> Table:
    plan, runs = results.plan, results.runs
    fair = {row.name for row in plan.rows if row.role not in ("topline", "ceiling")}
    lines = []
    for name in sorted({name for facts in runs.values() for name in facts.digests}):
        held = {place: facts.digests[name] for place, facts in runs.items() if name in facts.digests}
        agree, different = list[bool](), set[str]()
        for pair, seed in dict.fromkeys(place[1:] for place in held):
            here = {row: held[row, pair, seed] for row in (row.name for row in plan.rows) if (row, pair, seed) in held}
            compared = {value for row, value in here.items() if row in fair}
            agree += [len(compared) == 1] if len(fair & here.keys()) > 1 else []
            usual = here.get(plan.reference) or Counter(here.values()).most_common(1)[0][0]
            different |= {row for row, value in here.items() if value != usual}
        rows = ", ".join(row.name for row in plan.rows if row.name in different) or "none"
        lines.append(line(name, str(len(held)), str(len(set(held.values()))), f"{sum(agree)} of {len(agree)}", rows))
    heads = ("runs that hold it", "different values", "pairs and seeds where all agree")
    columns = (Column("digest of"), *map(Column, heads), Column("rows that differ", text=True))
    return Table("digests", "Digests in the records. “All” are the rows that are no toplines or ceilings.", columns, (tuple(lines),))


def varied(results: Results) -> Table:
    lines = [line(row.name, row.role, ", ".join(row.varied) or "nothing", row.tuning, role=row.role) for row in results.plan.rows]
    columns = (Column("row"), *(Column(head, text=True) for head in ("role", "may vary", "tuning")))
    return Table("varied", "Paths of the config in which a row may differ from the others.", columns, (tuple(lines),))


def line(*texts: str, role: str = "") -> Line:
    return Line(tuple(map(Cell, texts)), {"row": texts[0], "role": role})


def neighbours(shares: Mapping[str, Sequence[float]]) -> Table:
    """What -> share of neighbours before and after training, and by chance."""
    lines = [line(what, *(f"{100 * share:.0f} %" for share in each)) for what, each in shares.items()]
    columns = tuple(map(Column, ("neighbours of", "before", "after", "by chance")))
    caption = "Share of the ten nearest neighbours (all dimensions, no map) that have the same property. Emotion as in the map."
    return Table("neighbours", caption, columns, (tuple(lines),))


def failures(results: Results) -> list[str]:
    """The places without a finished record: why, as far as that is known."""
    plan = results.plan
    seeds: dict[tuple[str, str, str], list[str]] = {}
    for place in itertools.product((row.name for row in plan.rows), plan.pairs, plan.seeds):
        if place not in results.runs:
            why = results.failures.get(place, "not made")
            seeds.setdefault((*place[:2], why), []).append(str(place[2]))
    return [f"{row}, {pair}, seed {', '.join(which)}: {why}" for (row, pair, why), which in seeds.items()]


def _listed(values: Iterable[str]) -> str:
    found = Counter(values)
    return ", ".join(value if len(found) == 1 else f"{value} ({counted(n, 'run')})" for value, n in found.items())


def flat(data: Mapping[str, object]) -> str:
    """`a 1, b.c x`; what is unset is left out."""
    words = ((".".join(path), value) for path, value in leaves(dict(data)) if value not in (None, "", {}))
    return ", ".join(f"{name} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}" for name, value in words)
