"""What every shape of table is made from: full names of rows, captions, sections of lines, and cells of a summary's numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from sere_core.compare.plan import Row
from sere_core.compare.reading import Results, RunFacts
from sere_core.compare.stats.bootstrap import Interval
from sere_core.compare.stats.summary import PairSummary, RowSummary, Summary, Verdict, summarise
from sere_core.score.manifest import EVIDENCE, weakest
from sere_core.tables.model import Cell, Column, Line, number, plain, rank
from sere_registry.errors import Problem, SereError

#: behind the name of every row that was trained on labels of the target
CEILING = "†"
#: the column of the rows' names
ROW = Column("", ("row",), text=True)
STANDING = "Best in bold, second underlined, among methods."

#: why there should be one, for the note where there is none
_WANTED = {
    "floor": "no floor: without a row that adapts to nothing, nothing shows what adaptation adds",
    "ceiling": "no ceiling: without a row that is trained on target labels, nothing shows what could be reached",
}


@dataclass(frozen=True)
class FullName:
    """A row's full name: two rows that differ in it are not to be read against each other without saying so.

    Args:
        parts: by what they say, for CSV; empty where the row has no run.  Protocols are without their pairs, the label regime is
            their first word, features are 8 hex digits over all pairs, the evidence is the weakest of the row's runs.
        odd: are its features others than the reference's, for a pair that both have?
    """

    parts: Mapping[str, str]
    odd: bool

    @property
    def label(self) -> str:
        """What stands in front of its line: its name, and all in which it is not like the others."""
        parts = self.parts
        words = [parts["row"], CEILING if parts["role"] == "ceiling" else ""]
        words.append("" if parts["evidence"] in {"", EVIDENCE[0]} else f"({parts['evidence']})")
        words.append(f"[{parts['features']}]" if self.odd else "")
        return " ".join(filter(None, words))


def _full_name(row: Row, runs: Sequence[RunFacts], features: Mapping[str, str], usual: Mapping[str, str]) -> FullName:
    """The name of a row, of whose pairs `features` holds digests, and `usual` those of the reference."""
    protocols = sorted({run.protocol.partition(" ")[2] for run in runs})
    parts = {
        "row": plain(row.name),
        "role": row.role,
        "protocol": "; ".join(protocols),
        "regime": "; ".join(dict.fromkeys(words.partition(" ")[0] for words in protocols)),
        "selection": "; ".join(sorted({run.selection for run in runs})),
        "features": _one(set(features.values()), sorted(features.items()))[:8],
        "evidence": weakest(run.evidence for run in runs) if runs else "",
        "tuning": row.tuning,
    }
    return FullName(parts, row.role != "ceiling" and any(usual.get(pair, mine) != mine for pair, mine in features.items()))


def _features(results: Results, row: str) -> dict[str, str]:
    """Pair -> what the features of the row's runs are known by: the digest itself where there is one."""
    runs: dict[str, set[tuple[tuple[str, str], ...]]] = {}
    for (name, pair, _), run in results.runs.items():
        if name == row:
            kind = tuple(sorted(each for each in run.digests.items() if each[0].startswith("features.")))
            runs.setdefault(pair, set()).add(kind)
    return {pair: _one({value for kind in kinds for _, value in kind}, sorted(kinds)) for pair, kinds in runs.items()}


def _one(values: set[str], content: object) -> str:
    """The only value; a digest of `content` where there are several, "" where there is none."""
    return hashlib.sha256(repr(content).encode()).hexdigest() if len(values) > 1 else "".join(values)


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
            hint = "make the rows alike, or compare them in two comparisons"
            problems.append(Problem("T508", f"{place}rows of other {what} share no table: {listed}", hint))

    ceilings = [row.name for row in plan.rows if row.role == "ceiling"]
    for pair in plan.pairs:
        runs = [(row, run) for (row, where, _), run in results.runs.items() if where == pair]
        look("protocols", pair, ((row, run.protocol) for row, run in runs if row not in ceilings))
        for ceiling in ceilings:
            look("protocols", pair, ((row, run.protocol) for row, run in runs if row == ceiling))
        look("classes", pair, ((row, " ".join(run.classes)) for row, run in runs))
    look("selection rules", "", ((row, run.selection) for (row, _, _), run in results.runs.items()))
    look("tuning", "", ((row.name, row.tuning) for row in plan.rows if row.name not in ceilings))
    if problems:
        raise SereError(*problems)


class Source:
    """A comparison's results with all that its tables have in common.

    Raises:
        SereError: T508 if the rows do not share a table.
    """

    def __init__(self, results: Results, summary: Summary | None = None) -> None:
        refuse_mixed(results)
        self.results, self.plan, self.summary = results, results.plan, summary or summarise(results)
        features = {row.name: _features(results, row.name) for row in self.plan.rows}
        usual = features[self.plan.reference]
        self.names = {row.name: _full_name(row, results.of_row(row.name), features[row.name], usual) for row in self.plan.rows}
        #: runs of a complete row
        self.planned = len(self.plan.pairs) * len(self.plan.seeds)

    @property
    def common(self) -> str:
        """What the rows have in common, for the caption; ceilings speak for themselves."""
        rows = [name for name in self.names.values() if name.parts["role"] != "ceiling" and name.parts["protocol"]]
        protocols = sorted({words for name in rows for words in name.parts["protocol"].split("; ")})
        said = [" / ".join(protocols) or "no run yet"]
        for what in ("selection", "features", "tuning", "evidence"):
            values = {name.parts[what] for name in rows if not (what == "features" and name.odd)}
            order = sorted(values, key=lambda label: (EVIDENCE.index(label) if label in EVIDENCE else 0, label))
            said += [f"{what} {', '.join(order)}"] if values else []
        return "; ".join(said)

    @property
    def seeds(self) -> str:
        """The spread over seeds, in words."""
        count = len(self.plan.seeds)
        return f"mean ± standard deviation over {count} seeds" if count > 1 else "one seed, so no deviation"

    def caption(self, what: str) -> str:
        """What is shown, then all that makes it readable."""
        levels = sorted({number(value) for value in self.summary.chance.values()}, key=float)
        chance = f"chance {' to '.join(dict.fromkeys([levels[0], levels[-1]]))} %" if levels else "chance unknown"
        n = f"n = {len(self.results.runs)} of {self.planned * len(self.plan.rows)} runs"
        return f"{self.plan.name}: {what}; {self.common}; {chance}; {n}."

    def sections(
        self, columns: Sequence[Column], make: Callable[[RowSummary], tuple[Cell, ...]], blanks: bool = True
    ) -> tuple[tuple[Line, ...], ...]:
        """Floors, methods, ceilings: a section each, with best and second marked; `make` gives the cells behind a row's label.

        With `blanks` a missing floor or ceiling has a line that says so.
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
        lines = []
        for name in self.names.values():
            if name.parts["role"] == "ceiling":
                label = name.label.replace(CEILING, "").strip()
                lines.append(f"{CEILING} {label}: a ceiling, not a method: {name.parts['protocol']}")
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
        every = len(self.plan.seeds)
        seeds = f"Missing runs: a dash means no run; a number in parentheses says on how many of {every} seeds a value rests."
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
        Cell("<0.001" if verdict.p_holm < 0.001 else f"{verdict.p_holm:.3f}", data=(verdict.p_holm,)),
        Cell(verdict.shown, data=(verdict.shown,)),
    )


def verdict_columns(reference: str) -> tuple[Column, ...]:
    return (
        Column("diff.", ("difference",), "against"),
        Column("w/t/l", ("wins", "ties", "losses"), "against"),
        Column("p (Holm)", ("p_holm",), "against"),
        Column(f"against {plain(reference)}", ("shown",), "against", text=True),
    )


def _exact(ratio: float | None) -> float | None:
    """In percent, for CSV."""
    return None if ratio is None else round(100 * ratio, 6)


def _ends(interval: Interval | None) -> tuple[str, ...]:
    return () if interval is None else (f"{number(interval.low)}–{number(interval.high)}",)
