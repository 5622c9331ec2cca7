"""What every shape of table is made from: names, captions, sections of lines, and cells of a summary's numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from sere_core.compare.reading import Results
from sere_core.compare.stats.summary import Interval, PairSummary, RowSummary, Summary, Verdict
from sere_core.compare.tables.names import CEILING, common, full_names
from sere_core.tables.model import Cell, Column, Line, number, plain, rank

#: the column of the rows' names
ROW = Column("", ("row",), text=True)
STANDING = "Best in bold, second underlined, among methods."

#: why there should be one, for the note where there is none
_WANTED = {
    "floor": "no floor: without a row that adapts to nothing, nothing shows what adaptation adds",
    "ceiling": "no ceiling: without a row that is trained on target labels, nothing shows what could be reached",
}


class Source:
    def __init__(self, results: Results, summary: Summary) -> None:
        self.results, self.plan, self.summary = results, results.plan, summary
        self.names = full_names(results)
        #: runs of a complete row
        self.planned = len(self.plan.pairs) * len(self.plan.seeds)
        #: what all rows share: protocol, selection, features, tuning, evidence
        self.common = common(self.names.values())

    @property
    def seeds(self) -> str:
        """The spread over seeds, in words."""
        count = len(self.plan.seeds)
        return f"mean ± standard deviation over {count} seeds" if count > 1 else "one seed, so no deviation"

    def caption(self, what: str) -> str:
        """A caption: what is shown, then all that makes it readable."""
        levels = sorted({number(value) for value in self.summary.chance.values()}, key=float)
        chance = f"chance {' to '.join(dict.fromkeys([levels[0], levels[-1]]))} %" if levels else "chance unknown"
        n = f"n = {len(self.results.runs)} of {self.planned * len(self.plan.rows)} runs"
        return f"{self.plan.name}: {what}; {self.common}; {chance}; {n}."

    def sections(
        self, columns: Sequence[Column], make: Callable[[RowSummary], tuple[Cell, ...]], blanks: bool = True
    ) -> tuple[tuple[Line, ...], ...]:
        """Floors, methods, ceilings: a section each, with best and second marked; a line says so where there is no floor or ceiling.

        Args:
            columns: of the table.
            make: the cells of a row, all but its label.
            blanks: shall a missing floor or ceiling have a line?
        """
        found = []
        for role in ("floor", "method", "ceiling"):
            lines = [self.line(row, make(row)) for row in self.summary.rows if row.role == role]
            if not lines and role != "method" and blanks:
                nothing = [Cell("-", data=(None,) * len(column.fields)) for column in columns[1:]]
                lines = [Line((Cell(f"no {role}"), *nothing), {"row": f"no {role}", "role": role})]
            found.append(rank(lines, columns))
        return tuple(lines for lines in found if lines)

    def line(self, row: RowSummary, cells: Sequence[Cell]) -> Line:
        """A row's cells behind its label; on a page, what sets the row apart stands below its name."""
        name = self.names[row.row]
        below = [
            {"ceiling": "ceiling: trained on target labels", "floor": "floor"}.get(row.role, ""),
            f"features {name.parts['features']}" if name.odd else "",
            "" if row.complete else "incomplete",
        ]
        return Line((Cell(name.label, below=("; ".join(filter(None, below)),)), *cells), name.parts)

    def chance(self, columns: Sequence[Column], stub: int = 1) -> Line:
        """The line of what guessing reaches: the stub, a cell for each pair, the mean, and blanks."""
        known = self.summary.chance
        mean = fmean(known.values()) if len(known) == len(self.plan.pairs) else None
        cells = [Cell("chance"), *[Cell("")] * (stub - 1), *(percent(known.get(pair)) for pair in self.plan.pairs), percent(mean)]
        return Line((*cells, *[Cell("")] * (len(columns) - len(cells))), {"row": "chance", "role": "chance"})

    def remarks(self) -> tuple[str, ...]:
        """What must be said below every table: ceilings' protocols, other features, missing floors, failures."""
        ceilings = [name for name in self.names.values() if name.parts["role"] == "ceiling"]
        labels = [name.label.replace(CEILING, "").strip() for name in ceilings]
        lines = [
            f"{CEILING} {label}: a ceiling, not a method: {name.parts['protocol']}" for label, name in zip(labels, ceilings, strict=True)
        ]
        lines += [f"{name.label}: other features than the reference's" for name in self.names.values() if name.odd]
        lines += [line for role, line in _WANTED.items() if not any(row.role == role for row in self.plan.rows)]
        if self.results.allowed:
            lines.append(f"allowed by name: {'; '.join(self.results.allowed)}")
        if self.results.failures:
            places = [f"{row}, {pair}, seed {seed}" for row, pair, seed in self.results.failures]
            more = f" and {len(places) - 3} more" if len(places) > 3 else ""
            lines.append(f"failed or damaged: {'; '.join(places[:3])}{more}")
        return tuple(lines)

    def notes(self) -> tuple[str, ...]:
        """All notes of a table of scores by pair."""
        missing = any(not row.complete for row in self.summary.rows)
        seeds = f"Missing runs: - is none, a number in parentheses behind a value is that of its seeds (of {len(self.plan.seeds)})."
        return (STANDING, *self.remarks(), *([seeds] if missing else []), *self.summary.notes)


# cells


def percent(ratio: float | None) -> Cell:
    """A ratio in percent."""
    return Cell(number(ratio), data=(_exact(ratio),))


def points(ratio: float | None) -> Cell:
    """A difference in points, with its sign."""
    return Cell("-" if ratio is None else f"{100 * ratio:+.1f}", data=(_exact(ratio),))


def quantity(value: float | None, digits: int) -> Cell:
    return Cell(number(value, percent=False, digits=digits), data=(None if value is None else round(value, 3),))


def pair_cell(pair: PairSummary | None) -> Cell:
    """UAR over seeds; fewer seeds than planned are said."""
    if pair is None:
        return Cell("-", data=(None, None, 0))
    uar, planned = pair.uar, pair.uar.n + len(pair.missing)
    return Cell(
        number(uar.mean),
        "" if uar.std is None else number(uar.std),
        f"n={uar.n}" if pair.missing else "",
        data=(_exact(uar.mean), _exact(uar.std), uar.n),
        below=(*_ends(pair.interval), *([f"{uar.n} of {planned} seeds"] if pair.missing else [])),
    )


def mean_cell(row: RowSummary, pairs: int, verdict: Verdict | None) -> Cell:
    """The mean over pairs; in parentheses where runs are missing, since it is of other runs than its neighbours' then."""
    if row.mean is None:
        return percent(None)
    cell = percent(row.mean.mean)
    text = cell.text if row.complete and row.mean.n == pairs else f"({cell.text})"
    mark = verdict.shown if verdict and verdict.shown != "no difference shown" else ""
    return Cell(text, mark=mark, data=cell.data, below=_ends(row.interval))


def interval_cell(interval: Interval | None) -> Cell:
    if interval is None:
        return Cell("-", data=(None, None))
    return Cell(f"{number(interval.low)}..{number(interval.high)}", data=(_exact(interval.low), _exact(interval.high)))


def count_cell(row: RowSummary, planned: int) -> Cell:
    """How many runs there are, and of how many if some are missing."""
    found = planned - len(row.missing)
    return Cell(str(found) if found == planned else f"{found}/{planned}", data=(found, planned))


def rank_cell(row: RowSummary) -> Cell:
    return Cell(number(row.rank, percent=False, digits=2), data=(row.rank,))


def verdict_cells(verdict: Verdict | None) -> tuple[Cell, ...]:
    """Difference, wins/ties/losses, corrected p, and the words; all empty for the reference itself."""
    if verdict is None:
        return (Cell(), Cell(), Cell(), Cell("reference", data=("reference",)))
    counts = (verdict.wins, verdict.ties, verdict.losses)
    if verdict.difference is None:
        return (Cell("-"), Cell("-", data=counts), Cell("-"), Cell("no run in common", data=("",)))
    return (
        points(verdict.difference),
        Cell("/".join(map(str, counts)), data=counts),
        Cell(probability(verdict.p_holm), data=(verdict.p_holm,)),
        Cell(verdict.shown, data=(verdict.shown,)),
    )


def verdict_columns(reference: str) -> tuple[Column, ...]:
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


def _ends(interval: Interval | None) -> tuple[str, ...]:
    return () if interval is None else (f"{number(interval.low)}–{number(interval.high)}",)
