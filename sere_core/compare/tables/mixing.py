"""What does not share a table: other protocols, other rules of selection, other tuning."""

from __future__ import annotations

from collections.abc import Iterable

from sere_core.compare.facts import Results
from sere_registry.errors import Problem, SereError

_HINT = "make the rows alike, or compare them in two comparisons"


def refuse_mixed(results: Results) -> None:
    """Are the rows of these results comparable?  A ceiling may have a protocol of its own, and its line is marked.

    Raises:
        SereError: T508, once for each thing that differs, with the rows.
    """
    plan, problems = results.plan, list[Problem]()

    def look(what: str, pair: str, values: Iterable[tuple[str, str]]) -> None:
        rows: dict[str, list[str]] = {}
        for row, value in values:
            rows.setdefault(value, []).append(row)
        if len(rows) > 1:
            place = f"pair {pair}: " if pair else ""
            listed = "; ".join(f"{value!r} ({', '.join(dict.fromkeys(names))})" for value, names in rows.items())
            problems.append(Problem("T508", f"{place}rows of other {what} share no table: {listed}", _HINT))

    ceilings = {row.name for row in plan.rows if row.role == "ceiling"}
    for pair in plan.pairs:
        runs = [(row, run) for (row, where, _), run in results.runs.items() if where == pair]
        look("protocols", pair, ((row, run.protocol) for row, run in runs if row not in ceilings))
        for row in plan.rows:
            if row.name in ceilings:
                look("protocols", pair, ((name, run.protocol) for name, run in runs if name == row.name))
        look("classes", pair, ((row, " ".join(run.classes)) for row, run in runs))
    look("selection rules", "", ((row, run.selection) for (row, _, _), run in results.runs.items()))
    look("tuning", "", ((row.name, row.tuning) for row in plan.rows if row.name not in ceilings))
    if problems:
        raise SereError(*problems)
