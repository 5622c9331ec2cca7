"""What every shape of table is made from, and what several of them share: names, captions, sections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from sere_core.compare.facts import Results
from sere_core.compare.stats.summary import RowSummary, Summary
from sere_core.compare.tables.model import Cell, Column, Line, number, rank
from sere_core.compare.tables.names import CEILING, FullName, common, full_names

#: why there should be one, for the note where there is none
_WANTED = {
    "floor": "no floor: without a row that adapts to nothing, nothing shows what adaptation adds",
    "ceiling": "no ceiling: without a row that is trained on target labels, nothing shows what could be reached",
}


class Source:
    """Results, their summary, and the full names of the rows."""

    def __init__(self, results: Results, summary: Summary) -> None:
        self.results, self.plan, self.summary = results, results.plan, summary

    @cached_property
    def names(self) -> dict[str, FullName]:
        """Row -> its full name."""
        return full_names(self.results)

    @cached_property
    def planned(self) -> int:
        """Runs of a complete row."""
        return len(self.plan.pairs) * len(self.plan.seeds)

    @property
    def seeds(self) -> str:
        """The spread over seeds, in words."""
        count = len(self.plan.seeds)
        return f"mean ± standard deviation over {count} seeds" if count > 1 else "one seed, so no deviation"

    @property
    def chance(self) -> str:
        """The level of chance, in words."""
        values = sorted({number(value) for value in self.summary.chance.values()}, key=float)
        return f"chance {' to '.join(dict.fromkeys([values[0], values[-1]]))} %" if values else "chance unknown"

    @property
    def common(self) -> str:
        """What all rows share: protocol, selection, features, tuning, evidence."""
        return common(self.names.values())

    def caption(self, what: str) -> str:
        """A caption: what is shown, then all that makes it readable."""
        runs = len(self.results.runs)
        return f"{self.plan.name}: {what}; {self.common}; {self.chance}; n = {runs} of {self.planned * len(self.plan.rows)} runs."

    def sections(
        self,
        columns: Sequence[Column],
        make: Callable[[RowSummary], tuple[Cell, ...]],
        stub: Callable[[str], tuple[Cell, ...]] | None = None,
        blanks: bool = True,
    ) -> tuple[tuple[Line, ...], ...]:
        """Floors, methods, ceilings: a section each, with best and second marked; a line says so where there is no floor or ceiling.

        Args:
            columns: of the table; those of the stub included.
            make: the cells of a row, those of the stub not included.
            stub: the first cells of a row; its label by default.
            blanks: shall a missing floor or ceiling have a line?
        """
        head = stub or (lambda row: (Cell(self.names[row].label),))
        found = []
        for role in ("floor", "method", "ceiling"):
            rows = [row for row in self.summary.rows if row.role == role]
            lines = [Line((*head(row.row), *make(row)), self.names[row.row].as_data(), role == "method") for row in rows]
            if not rows and role != "method" and blanks:
                nothing = [Cell("-", data=(None,) * len(column.fields)) for column in columns[1:]]
                lines = [Line((Cell(f"no {role}"), *nothing), {"row": f"no {role}", "role": role})]
            found.append(rank(lines, columns))
        return tuple(lines for lines in found if lines)

    def remarks(self) -> tuple[str, ...]:
        """What must be said below every table: ceilings' protocols, other features, missing floors, failures."""
        ceilings = [name for name in self.names.values() if name.role == "ceiling"]
        lines = [
            f"{CEILING} {name.label.replace(CEILING, '').strip()}: a ceiling, not a method: {'; '.join(name.protocols)}"
            for name in ceilings
        ]
        lines += [f"{name.label}: other features than the reference's" for name in self.names.values() if name.odd]
        lines += [line for role, line in _WANTED.items() if not any(row.role == role for row in self.plan.rows)]
        if self.results.allowed:
            lines.append(f"allowed by name: {'; '.join(self.results.allowed)}")
        if self.results.failures:
            places = [f"{row}, {pair}, seed {seed}" for row, pair, seed in self.results.failures]
            more = f" and {len(places) - 3} more" if len(places) > 3 else ""
            lines.append(f"failed or damaged: {'; '.join(places[:3])}{more}")
        probed = [f"{row}, {pair}, seed {seed}" for (row, pair, seed), run in self.results.runs.items() if run.probes]
        if probed:
            lines.append(f"NOT HONEST: plugin code tried what could have led it to target labels in {'; '.join(probed[:3])}")
        return tuple(lines)
