"""Tables of a comparison: what all of them have in common (`Source`), and a function for each shape.

`main`, `ablation` and `encoders` are the paper's Tables I to III.  Rows' names tell parts (`ours -dual`, `ours without dual`,
`floor +dual`) and the encoders of the unlabelled source and of the target (`one>other`, `one/other`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from sere_core.compare.plan import Row
from sere_core.compare.reading import Results
from sere_core.compare.spaces import space_table
from sere_core.compare.stats.summary import GapClosed, PairSummary, RowSummary, Summary, Verdict, summarise
from sere_core.score.interval import Interval
from sere_core.score.manifest import EVIDENCE, weakest
from sere_core.score.records import ORACLE
from sere_core.score.table import TITLES
from sere_core.tables import FORMATS
from sere_core.tables.model import Cell, Column, Line, Mark, Table, number, plain, rank
from sere_registry.errors import Problem, SereError
from sere_registry.files import write_atomically

#: behind the name of every row that was trained on labels of the target
CEILING = "†"
#: behind the name of every row that was trained on labels of the source which the others lack
TOPLINE = "§"
#: behind the name of every row whose epochs were chosen by labels of the target
CHOSEN = "‡"
MARKS = {"ceiling": CEILING, "topline": TOPLINE}
#: the column of the rows' names
ROW = Column("", ("row",), text=True)
STANDING = "Best in bold, second underlined, among methods."

ON, OFF = "✓", "–"
_PART = re.compile(r"(?:^|\s)(?:([+-])|(?:without|w/o)\s+)(\w[^\s+]*)")
#: of a protocol, how many labels teach and whose they are: what a topline may differ in
_SHOTS = re.compile(r" (?:full|(?:up to )?\d+-shot)(?: from the same speakers)? (?=inductive|transductive)")
_COMBINED = re.compile(r"^([^\s>/]+)[>/]([^\s>/]+)$")

_MEAN = Column("mean", ("mean",), "overall", ranked=True)
_COUNT = Column("n", ("n", "planned"), "overall")
_ENDS = ("interval low", "interval high")
_GAP = (Column("gap closed, %", ("gap closed",), "gap"), Column("interval of it", ("gap closed low", "gap closed high"), "gap"))

#: why there should be one, for the note where there is none
_WANTED = {
    "floor": "no floor: without a row that adapts to nothing, nothing shows what adaptation adds",
    "ceiling": "no ceiling: without a row that is trained on target labels, nothing shows what could be reached",
}


@dataclass(frozen=True)
class FullName:
    """A row's full name, by parts for CSV: rows that differ in it are not to be read against each other without saying so.

    `own`: the weakest evidence of what not all rows have.  `odd`: are its features others than the reference's, for a pair that both
    have?  `oracle`: were its epochs chosen by target labels?
    """

    parts: Mapping[str, str]
    own: str
    odd: bool
    oracle: bool

    @property
    def label(self) -> str:
        parts = self.parts
        words = [parts["row"], MARKS.get(parts["role"], ""), CHOSEN if self.oracle else ""]
        said = self.own in {"", EVIDENCE[0]} or self.own in parts["row"]  # a name may say it by itself
        words.append("" if said else f"({self.own})")
        words.append(f"[{parts['features']}]" if self.odd else "")
        return " ".join(filter(None, words))


def _full_name(row: Row, results: Results, usual: Mapping[str, str], shared: Collection[tuple[str, str]]) -> FullName:
    runs, features = results.of_row(row.name), _features(results, row.name)
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
    odd = row.role != "ceiling" and any(usual.get(pair, mine) != mine for pair, mine in features.items())
    own = weakest(label for run in runs for name, label in run.components if (name, label) not in shared)
    return FullName(parts, own, odd, any(ORACLE in run.openings for run in runs))


def _features(results: Results, row: str) -> dict[str, str]:
    runs: dict[str, set[tuple[tuple[str, str], ...]]] = {}
    for (name, pair, _), run in results.runs.items():
        if name == row:
            kind = tuple(sorted(each for each in run.digests.items() if each[0].startswith("features.")))
            runs.setdefault(pair, set()).add(kind)
    return {pair: _one({value for kind in kinds for _, value in kind}, sorted(kinds)) for pair, kinds in runs.items()}


def _one(values: set[str], content: object) -> str:
    """The only value, or a digest of `content` where there are several."""
    return hashlib.sha256(repr(content).encode()).hexdigest() if len(values) > 1 else "".join(values)


def refuse_mixed(results: Results) -> None:
    """T508, once for each thing that differs, unless the rows may share a table."""
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
    toplines = [row.name for row in plan.rows if row.role == "topline"]
    for pair in plan.pairs:
        runs = [(row, run) for (row, where, _), run in results.runs.items() if where == pair]
        look("protocols", pair, ((row, run.protocol) for row, run in runs if row not in (*ceilings, *toplines)))
        if toplines:
            look("protocols", pair, ((row, _SHOTS.sub(" ", run.protocol)) for row, run in runs if row not in ceilings))
        for ceiling in ceilings:
            look("protocols", pair, ((row, run.protocol) for row, run in runs if row == ceiling))
        look("classes", pair, ((row, " ".join(run.classes)) for row, run in runs))
    look("selection rules", "", ((row, run.selection) for (row, _, _), run in results.runs.items()))
    look("tuning", "", ((row.name, row.tuning) for row in plan.rows if row.name not in ceilings))
    if problems:
        raise SereError(*problems)


class Source:
    """What all tables have in common; T508 if the rows do not share one."""

    def __init__(self, results: Results, summary: Summary | None = None) -> None:
        refuse_mixed(results)
        self.results, self.plan, self.summary = results, results.plan, summary or summarise(results)
        usual = _features(results, self.plan.reference)
        #: components of every run, with their evidence
        every = [run.components for run in results.runs.values()]
        self.shared = every[0].intersection(*every) if every else frozenset[tuple[str, str]]()
        self.names = {row.name: _full_name(row, results, usual, self.shared) for row in self.plan.rows}
        #: runs of a complete row
        self.planned = len(self.plan.pairs) * len(self.plan.seeds)

    @property
    def common(self) -> str:
        """What the rows have in common, for the caption; ceilings speak for themselves."""
        rows = [name for name in self.names.values() if name.parts["role"] not in MARKS and name.parts["protocol"]]
        protocols = sorted({words for name in rows for words in name.parts["protocol"].split("; ")})
        said = [" / ".join(protocols) or "no run yet"]
        for what in ("selection", "features", "tuning", "evidence"):
            values = {name.parts[what] for name in rows if not (what == "features" and name.odd)}
            order = sorted(values, key=lambda label: (EVIDENCE.index(label) if label in EVIDENCE else 0, label))
            said += [f"{what} {', '.join(order)}"] if values else []
        if everywhere := sorted(f"{name} ({label})" for name, label in self.shared if label != EVIDENCE[0]):
            said.append(f"in all rows {', '.join(everywhere)}")
        return "; ".join(said)

    @property
    def seeds(self) -> str:
        count = len(self.plan.seeds)
        return f"mean ± standard deviation over {count} seeds" if count > 1 else "one seed, so no deviation"

    def caption(self, what: str) -> str:
        levels = sorted({number(value) for value in self.summary.chance.values()}, key=float)
        chance = f"chance {' to '.join(dict.fromkeys([levels[0], levels[-1]]))} %" if levels else "chance unknown"
        n = f"n = {len(self.results.runs)} of {self.planned * len(self.plan.rows)} runs"
        return f"{self.plan.name}: {what}; {self.common}; {chance}; {n}."

    def sections(
        self, columns: Sequence[Column], make: Callable[[RowSummary], tuple[Cell, ...]], blanks: bool = True
    ) -> tuple[tuple[Line, ...], ...]:
        """Floors, methods, toplines, ceilings; with `blanks` a missing floor or ceiling has a line that says so."""
        found = []
        for role in ("floor", "method", "topline", "ceiling"):
            lines = [self.line(row, make(row)) for row in self.summary.rows if row.role == role]
            if not lines and role in _WANTED and blanks:
                nothing = [Cell("-", data=(None,) * len(column.fields)) for column in columns[1:]]
                lines = [Line((Cell(f"no {role}"), *nothing), {"row": f"no {role}", "role": role})]
            found += [rank(lines, columns)] if lines else []
        return tuple(found)

    def line(self, row: RowSummary, cells: Sequence[Cell]) -> Line:
        """A row's cells behind its label."""
        name = self.names[row.row]
        below = [
            {"ceiling": "ceiling: trained on target labels", "topline": "topline: more source labels", "floor": "floor"}.get(row.role, ""),
            "epochs chosen by target labels" if name.oracle else "",
            f"features {name.parts['features']}" if name.odd else "",
            "" if row.complete else "incomplete",
        ]
        return Line((Cell(name.label, below=("; ".join(filter(None, below)),)), *cells), name.parts)

    def chance(self, columns: Sequence[Column], stub: int = 1) -> Line:
        known = self.summary.chance
        mean = fmean(known.values()) if len(known) == len(self.plan.pairs) else None
        cells = [Cell("chance"), *[Cell("")] * (stub - 1), *(percent(known.get(pair)) for pair in self.plan.pairs), percent(mean)]
        return Line((*cells, *[Cell("")] * (len(columns) - len(cells))), {"row": "chance", "role": "chance"})

    def remarks(self) -> tuple[str, ...]:
        lines = []
        for name in self.names.values():
            if mark := MARKS.get(role := name.parts["role"]):
                label = name.label.replace(mark, "").strip()
                lines.append(f"{mark} {label}: a {role}, not a method: {name.parts['protocol']}")
        if any(name.oracle for name in self.names.values()):
            lines.append(f"{CHOSEN}: epochs chosen by labels of the target: an oracle, for study, not a method")
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
        missing = any(not row.complete for row in self.summary.rows)
        every = len(self.plan.seeds)
        seeds = f"Missing runs: a dash means no run; a number in parentheses says on how many of {every} seeds a value rests."
        return (STANDING, *self.remarks(), *([seeds] if missing else []), *self.summary.notes)


def percent(ratio: float | None) -> Cell:
    return Cell(number(ratio), data=(_exact(ratio),))


def points(ratio: float | None) -> Cell:
    return Cell("-" if ratio is None else f"{100 * ratio:+z.1f}", data=(_exact(ratio),))


def quantity(value: float | None, digits: int) -> Cell:
    return Cell(number(value, percent=False, digits=digits), data=(None if value is None else round(value, 3),))


def pair_cell(pair: PairSummary | None) -> Cell:
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
    """In parentheses where runs are missing."""
    if row.mean is None:
        return percent(None)
    cell = percent(row.mean.mean)
    text = cell.text if row.complete and row.mean.n == pairs else f"({cell.text})"
    mark: Mark = verdict.shown if verdict and verdict.shown in ("better", "worse") else ""
    return Cell(text, mark=mark, data=cell.data, below=_ends(row.interval))


def interval_cell(interval: Interval | None, signed: bool = False) -> Cell:
    if interval is None:
        return Cell("-", data=(None, None))
    ends = (interval.low, interval.high)
    return Cell("..".join(points(end).text if signed else number(end) for end in ends), data=tuple(map(_exact, ends)))


def gap_cells(gap: GapClosed | None) -> tuple[Cell, Cell]:
    if gap is None:
        return percent(None), interval_cell(None)
    return Cell("undefined", data=(None,)) if gap.share is None else percent(gap.share), interval_cell(gap.interval)


def verdict_cells(verdict: Verdict | None, margin: float) -> tuple[Cell, ...]:
    if verdict is None:
        return (*[Cell()] * 6, Cell("reference", data=("reference",)))
    counts = (verdict.wins, verdict.ties, verdict.losses)
    if verdict.difference is None:
        return (*[Cell("-")] * 5, Cell("-", data=counts), Cell("no run in common", data=("",)))
    shown = f"equivalent within {margin:g}" if verdict.shown == "equivalent" else verdict.shown
    known = verdict.interval is not None
    return (
        points(verdict.difference),
        interval_cell(verdict.interval, signed=True),
        chance_cell(verdict.p_holm if known else None),
        chance_cell(verdict.p_pairs if verdict.pairs > 1 else None),
        percent(verdict.detectable),
        Cell("/".join(map(str, counts)), data=counts),
        Cell(shown if known else "no error known", data=(shown,)),
    )


def chance_cell(p: float | None) -> Cell:
    return Cell("-" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}", data=(p,))


def verdict_columns(reference: str) -> tuple[Column, ...]:
    return (
        Column("diff.", ("difference",), "against"),
        Column("its interval", ("difference low", "difference high"), "against"),
        Column("p (Holm)", ("p_holm",), "against"),
        Column("p (pairs)", ("p_pairs",), "against"),
        Column("least shown", ("least shown",), "against"),
        Column("w/t/l", ("wins", "ties", "losses"), "against"),
        Column(f"against {plain(reference)}", ("shown",), "against", text=True),
    )


def _exact(ratio: float | None) -> float | None:
    return None if ratio is None else round(100 * ratio, 6)


def _ends(interval: Interval | None) -> tuple[str, ...]:
    return () if interval is None else (f"{number(interval.low)}–{number(interval.high)}",)


def build(results: Results, shape: str = "main", summary: Summary | None = None) -> Table:
    """One table, `shape` one of `SHAPES`; T508 if the rows do not share one."""
    return SHAPES[shape](Source(results, summary))


def write_tables(source: Source, folder: Path) -> list[Path]:
    """Write all shapes in every format of files; ablation and encoders only where rows are named so, space only of a sweep."""
    paths = []
    names = [row.name for row in source.plan.rows]
    tuned = any(row.trials for row in source.plan.rows)
    left_out = {"ablation": not part_names(names), "encoders": not encoder_names(names), "space": not tuned}
    for shape, make in SHAPES.items():
        for format, (ending, write) in FORMATS.items():
            if format != "terminal" and not left_out.get(shape):
                paths.append(folder / f"{shape}.{ending}")
                write_atomically(paths[-1], write(make(source)).encode())
    return paths


def main(source: Source) -> Table:
    """UAR by pair; means, intervals, ranks and tests against the reference."""
    interval = Column("interval, 95 %", _ENDS, "overall")
    gap = _GAP if source.plan.gap else ()
    columns = (*_pairs(source), _MEAN, interval, _COUNT, Column("rank", ("average rank",), "overall"), *gap)

    def cells(row: RowSummary) -> tuple[Cell, ...]:
        pairs, mean, n = _uars(source, row)
        rank = Cell(number(row.rank, percent=False, digits=2), data=(row.rank,))
        return (*pairs, mean, interval_cell(row.interval), n, rank, *(gap_cells(row.gap) if gap else ()))

    return _tested(source, "main", "UAR in %", columns, cells)


def ablation(source: Source) -> Table:
    """Rows by pairs, with a column that is on or off for each part.

    A part that a row does not name is on where rows take parts away, off where they add them and in floors.
    """
    parts = part_names([row.name for row in source.plan.rows])
    columns = (*(Column(plain(part), (plain(part),), "parts") for part in parts), *_pairs(source), _MEAN, _COUNT)
    methods = [row.name for row in source.plan.rows if row.role == "method"]
    signs = {on for row in methods for on in _switches(row).values()}
    stems = {_PART.sub("", name).strip() for name in methods if _switches(name)}
    shown = {True: Cell(ON, data=("on",)), False: Cell(OFF, data=("off",)), None: Cell()}

    def cells(row: RowSummary) -> tuple[Cell, ...]:
        own, usual = _switches(row.row), False if row.role == "floor" else None
        if row.role == "method" and len(signs) == 1 and (stems <= {""} or _PART.sub("", row.row).strip() in stems):
            usual = True not in signs
        pairs, mean, n = _uars(source, row)
        return (*(shown[own.get(part, usual)] for part in parts), *pairs, mean, n)

    return _tested(source, "ablation", "ablation; UAR in %", columns, cells, stub=1 + len(parts))


def _tested(
    source: Source, name: str, what: str, columns: Sequence[Column], make: Callable[[RowSummary], tuple[Cell, ...]], stub: int = 1
) -> Table:
    """Scores with the tests against the reference behind them, and chance below."""
    whole = (ROW, *columns, *verdict_columns(source.plan.reference))
    sections = source.sections(whole, lambda row: (*make(row), *verdict_cells(source.summary.verdict(row.row), source.summary.margin)))
    return Table(name, source.caption(f"{what}, {source.seeds}"), whole, (*sections, (source.chance(whole, stub),)), source.notes(), stub)


def encoders(source: Source) -> Table:
    """Pair by pair: the combinations of encoders, with interval and n."""
    columns = (
        Column("pair", ("pair",), text=True),
        Column("source's", ("source encoder",), text=True),
        Column("target's", ("target encoder",), text=True),
        Column("UAR", ("uar", "std", "n"), "uar", ranked=True),
        Column("interval, 95 %", _ENDS, "uar"),
    )
    named = encoder_names([row.name for row in source.plan.rows])
    planned = {(job.row, job.pair) for job in source.plan.jobs}
    sections = []
    for pair in source.plan.pairs:
        lines = []
        for row in source.summary.rows:
            if (row.row, pair) not in planned:
                continue
            label = source.names[row.row].label
            first, second = named.get(row.row, (label, ""))
            second += label.removeprefix(plain(row.row)) if second else ""
            found = row.pairs.get(pair)
            words = (Cell(plain(pair)), Cell(plain(first)), Cell(plain(second)))
            cells = (*words, pair_cell(found), interval_cell(found.interval if found else None))
            lines.append(Line(cells, source.names[row.row].parts))
        guess = (Cell(plain(pair)), Cell("chance"), Cell(""), percent(source.summary.chance.get(pair)), Cell(""))
        sections.append((*rank(lines, columns), Line(guess, {"row": "chance", "role": "chance"})))
    what = f"encoders of the unlabelled source and of the target; UAR in %, {source.seeds}"
    return Table("encoders", source.caption(what), columns, tuple(sections), source.notes(), stub=3)


def classes(source: Source) -> Table:
    every = {name for row in source.summary.rows for name in row.recall}
    order = list(dict.fromkeys(name for run in source.results.runs.values() for name in run.classes if name in every))
    columns = (ROW, *(Column(plain(name), (f"{plain(name)} recall",), "classes", ranked=True) for name in order))
    sections = source.sections(columns, lambda row: tuple(percent(row.recall.get(name)) for name in order))
    what = "recall by class in %, folds summed, mean over seeds and over the pairs that score the class"
    return Table("classes", source.caption(what), columns, sections, (STANDING, *source.remarks()))


def measures(source: Source) -> Table:
    """WAR, macro F1, confidence and the config's own metrics, means over all runs."""
    found = dict.fromkeys(name for row in source.summary.rows for name in row.measures)
    order = list(dict.fromkeys([*(name for name in TITLES if name in found), *found]))
    columns = (ROW, *(Column(TITLES.get(name, plain(name)), (name,), "measures") for name in order))

    def cells(row: RowSummary) -> tuple[Cell, ...]:
        return tuple(quantity(row.measures.get(name), 3) for name in order)

    sections = source.sections(columns, cells)
    what = "further scores, means over folds, seeds and pairs; ECE, Brier score, NLL and AURC are best at 0"
    return Table("measures", source.caption(what), columns, sections, source.remarks())


def gender(source: Source) -> Table:
    columns = (
        ROW,
        Column("female", ("female UAR",), "gender", ranked=True),
        Column("male", ("male UAR",), "gender", ranked=True),
        Column("female - male", ("gap",), "gender"),
    )

    def cells(row: RowSummary) -> tuple[Cell, ...]:
        female, male = row.genders.get("female"), row.genders.get("male")
        return (percent(female), percent(male), points(None if female is None or male is None else female - male))

    what = "UAR in % by the test speakers' gender, folds summed, mean over seeds and pairs"
    return Table("gender", source.caption(what), columns, source.sections(columns, cells), (STANDING, *source.remarks()))


def cost(source: Source) -> Table:
    """Time by phase, memory and trained parameters, medians over runs."""
    phases = list(dict.fromkeys(phase for row in source.summary.rows for phase in row.phases))
    columns = (
        ROW,
        *(Column(name, (name,), "cost") for name in ("seconds", "peak MiB", "trained parameters")),
        *(Column(f"{plain(phase)}, s", (f"{plain(phase)} seconds",), "phases") for phase in phases),
    )

    def cells(row: RowSummary) -> tuple[Cell, ...]:
        found = (quantity(row.seconds, 1), quantity(row.peak_mib, 0), quantity(row.parameters, 0))
        return (*found, *(quantity(row.phases.get(phase), 1) for phase in phases))

    what = "cost of a run, medians over runs; seconds of this machine, features from the cache where they were in it"
    sections = source.sections(columns, cells, blanks=False)
    return Table("cost", source.caption(what), columns, sections, source.remarks())


#: name -> how it is made
SHAPES: dict[str, Callable[[Source], Table]] = {
    "main": main,
    "ablation": ablation,
    "encoders": encoders,
    "classes": classes,
    "measures": measures,
    "gender": gender,
    "cost": cost,
    "space": lambda source: space_table(source.plan.rows),
}


def _pairs(source: Source) -> tuple[Column, ...]:
    names = [plain(pair) for pair in source.plan.pairs]
    return tuple(Column(name, (name, f"{name} std", f"{name} n"), "pairs", ranked=True) for name in names)


def _uars(source: Source, row: RowSummary) -> tuple[list[Cell], Cell, Cell]:
    """UAR by pair, the mean, and how many runs there are of those that were planned."""
    mean = mean_cell(row, len(source.plan.pairs), source.summary.verdict(row.row))
    planned, found = source.planned, source.planned - len(row.missing)
    pairs = [pair_cell(row.pairs.get(pair)) for pair in source.plan.pairs]
    return pairs, mean, Cell(str(found) if found == planned else f"{found}/{planned}", data=(found, planned))


def part_names(rows: Sequence[str]) -> list[str]:
    """The parts that rows switch on or off, in the order in which they occur."""
    return list(dict.fromkeys(part for row in rows for part in _switches(row)))


def encoder_names(rows: Sequence[str]) -> dict[str, tuple[str, str]]:
    found = {row: _COMBINED.match(row) for row in rows}
    return {row: (match[1], match[2]) for row, match in found.items() if match}


def _switches(row: str) -> dict[str, bool]:
    return {match[2]: match[1] == "+" for match in _PART.finditer(row)}
