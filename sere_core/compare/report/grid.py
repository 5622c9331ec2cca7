"""The tables of the report, as rows of text; what is missing is a dash, and what is not comparable is marked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from sere_core.compare.facts import Results
from sere_core.compare.report.evidence import clustering
from sere_core.compare.report.words import MINUS, chance, points
from sere_core.compare.stats.summary import ALPHA, Interval, PairSummary, RowSummary, Spread, Summary
from sere_core.compare.tables.names import FullName, full_names

DASH = "–"


@dataclass(frozen=True)
class Cell:
    """A cell: its text, a smaller second line, and whether it is the best of its column."""

    text: str
    small: str = ""
    best: bool = False


@dataclass(frozen=True)
class Line:
    """A line of a table: its name, what is said below the name, the row's role, and its cells."""

    name: str
    notes: str
    role: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table with its head; `caption` says what the numbers are."""

    caption: str
    head: tuple[str, ...]
    lines: tuple[Line, ...]


def main_table(results: Results, summary: Summary) -> Table:
    """UAR by row and pair, the mean over pairs, the average rank, and chance."""
    pairs, names = results.plan.pairs, full_names(results)
    full = {pair: [row for row in summary.rows if pair in row.pairs and not row.pairs[pair].missing] for pair in pairs}
    best = {pair: _best({row.row: row.pairs[pair].uar.mean for row in rows if row.role == "method"}) for pair, rows in full.items()}
    whole = _best({row.row: row.mean.mean for row in summary.rows if row.mean is not None and row.complete and row.role == "method"})
    common = _common(summary)
    lines = []
    for row in summary.rows:
        cells = []
        for pair in pairs:
            cell = row.pairs.get(pair)
            if cell is None:
                cells.append(Cell(DASH))
                continue
            cells.append(Cell(spread(cell.uar), _below(cell), row.row in best[pair]))
        lines.append(Line(row.row, _notes(row, common, names[row.row]), row.role, (*mean_of(row, row.row in whole), *cells)))
    floor = tuple(Cell(f"{100 * summary.chance[pair]:.1f}" if pair in summary.chance else DASH) for pair in pairs)
    known = [summary.chance[pair] for pair in pairs if pair in summary.chance]
    mean_chance = Cell(f"{100 * sum(known) / len(known):.1f}" if known else DASH)
    lines.append(Line("chance", "", "chance", (mean_chance, Cell(""), *floor)))
    caption = (
        "UAR in %: mean over seeds of the mean over folds, ± standard deviation between seeds; below it the bootstrap interval. "
        f"Mean: over pairs; rank: average over pairs. Bold: the best of the methods.{_said(common)}"
    )
    return Table(caption, ("row", "mean", "rank", *pairs), tuple(lines))


def recall_table(summary: Summary) -> Table | None:
    """Recall by emotion and UAR by gender; None where nothing is known."""
    classes = tuple(dict.fromkeys(name for row in summary.rows for name in row.recall))
    genders = tuple(name for name in ("female", "male") if any(name in row.genders for row in summary.rows))
    if not classes:
        return None
    lines = [
        Line(
            row.row, "", row.role, (*(_percent(row.recall.get(name)) for name in classes), *(_percent(row.genders.get(g)) for g in genders))
        )
        for row in summary.rows
    ]
    caption = "Recall of each emotion and UAR of each gender's utterances in %, mean over the pairs that have them."
    return Table(caption, ("row", *classes, *genders), tuple(lines))


def verdict_table(summary: Summary) -> Table | None:
    """The numbers behind the words; None without verdicts."""
    if not summary.verdicts:
        return None
    lines = []
    for each in summary.verdicts:
        shows = DASH if each.smallest_detectable is None else f"{100 * each.smallest_detectable:.1f}"
        numbers = (chance(each.p), chance(each.p_holm), chance(each.p_least), chance(each.p_wilcoxon), chance(each.p_pairs))
        cells = (
            points(each.difference),
            interval(each.interval, signed=True),
            *numbers,
            _signed(each.effect),
            _signed(each.rank_biserial),
            f"{each.wins}/{each.ties}/{each.losses}",
            f"{each.units} (draw)",
            shows,
        )
        lines.append(Line(each.row, "", summary.row(each.row).role, tuple(Cell(text) for text in cells)))
    head = ("row", "difference", "interval", "p", "p (Holm)", "least p", "p (Wilcoxon)", "p (pairs)", "d_z", "rank-biserial")
    caption = (
        f"Every row minus {summary.reference}, in points of UAR. p: sign-flip permutation test over the units; "
        "least p: the smallest that so many units "
        "can give; p (pairs): the same test over pair means. "
        f"Shown at {ALPHA:g} after Holm's correction with an interval that excludes 0."
    )
    return Table(caption, (*head, "won/tied/lost", "units", "smallest detectable"), tuple(lines))


def cluster_table(results: Results, summary: Summary) -> Table | None:
    """Does the scored target cluster by its true emotions, and are pseudo-classes right?  None where no record tells."""
    names = ("knn_purity", "purity_chance", "silhouette", "pseudo_accuracy")
    lines = []
    for row in summary.rows:
        found = [fold for (name, _, _), facts in results.runs.items() if name == row.row for fold in clustering(facts.path)]
        values = {name: [fold[name] for fold in found if name in fold] for name in names}
        shares = {name: fmean(each) if each else None for name, each in values.items()}
        cells = (
            _percent(shares["knn_purity"]),
            _percent(shares["purity_chance"]),
            Cell(_signed(shares["silhouette"], 3)),
            _percent(shares["pseudo_accuracy"]),
        )
        if any(values.values()):
            lines.append(Line(row.row, "", row.role, cells))
    caption = (
        "Scored target utterances by their true emotions, told by the scorer when it opened the labels once: share of nearest neighbours "
        "with the same emotion, what chance gives, mean silhouette, and how many of the method's pseudo-classes are right (in %). "
        "Means over folds, seeds and pairs."
    )
    return (
        Table(caption, ("row", "same emotion nearby", "by chance", "silhouette", "right pseudo-classes"), tuple(lines)) if lines else None
    )


def cost_table(summary: Summary) -> Table:
    """What a run of each row took: medians."""
    phases = tuple(dict.fromkeys(name for row in summary.rows for name in row.phases))
    lines = []
    for row in summary.rows:
        cells = [_seconds(row.seconds), *(_seconds(row.phases.get(name)) for name in phases)]
        cells += [DASH if row.peak_mib is None else f"{row.peak_mib:,.0f}", DASH if row.parameters is None else f"{row.parameters:,.0f}"]
        lines.append(Line(row.row, "", row.role, tuple(Cell(text) for text in cells)))
    caption = "Medians over the runs of a row. Features are extracted once and cached: the run that was first paid for all."
    return Table(caption, ("row", "seconds", *(f"{name} (s)" for name in phases), "peak memory (MiB)", "trained parameters"), tuple(lines))


def spread(value: Spread) -> str:
    """A mean and its deviation, in percent.

    >>> spread(Spread(0.4561, 0.0149, 3)), spread(Spread(0.5, None, 1))
    ('45.6 ± 1.5', '50.0')
    """
    text = f"{100 * value.mean:.1f}"
    return text if value.std is None else f"{text} ± {100 * value.std:.1f}"


def interval(value: Interval | None, signed: bool = False) -> str:
    """An interval, in percent or points."""
    if value is None:
        return DASH if signed else ""
    return f"{points(value.low)} to {points(value.high)}" if signed else f"{100 * value.low:.1f}–{100 * value.high:.1f}"


def _best(means: Mapping[str, float]) -> set[str]:
    """The rows with the best mean, as it is shown; nobody is the best of one."""
    shown = {name: round(1000 * mean) for name, mean in means.items()}
    return {name for name, mean in shown.items() if mean == max(shown.values())} if len(shown) > 1 else set()


def mean_of(row: RowSummary, best: bool) -> tuple[Cell, Cell]:
    """The row's mean over pairs and its average rank."""
    mean = Cell(DASH) if row.mean is None else Cell(f"{100 * row.mean.mean:.1f}", interval(row.interval), best)
    return mean, Cell(DASH if row.rank is None else f"{row.rank:.2f}")


def _below(cell: PairSummary) -> str:
    lines = [interval(cell.interval), f"{cell.uar.n} of {cell.uar.n + len(cell.missing)} seeds" if cell.missing else ""]
    return "\n".join(line for line in lines if line)


def _parts(row: RowSummary) -> dict[str, str]:
    """What belongs to a row's name, as it would be said of the row."""
    return {}


def _common(summary: Summary) -> dict[str, str]:
    """The parts that all rows with runs share: said once, below the table's head."""
    parts = [_parts(row) for row in summary.rows if row.pairs]
    return {name: said for name, said in parts[0].items() if said and all(each[name] == said for each in parts)} if parts else {}


def _said(common: Mapping[str, str]) -> str:
    return f" All rows: {'; '.join(common.values())}." if common else ""


def _notes(row: RowSummary, common: Mapping[str, str], name: FullName) -> str:
    """What belongs to this row's name and not to all others'."""
    roles = {"ceiling": "ceiling: trained on target labels", "floor": "floor"}
    parts = [roles.get(row.role, ""), *(said for name, said in _parts(row).items() if name not in common and said != "tuning none")]
    return "; ".join(
        part for part in [*parts, f"features {name.features}" if name.odd else "", "" if row.complete else "incomplete"] if part
    )


def _percent(value: float | None) -> Cell:
    return Cell(DASH if value is None else f"{100 * value:.1f}")


def _signed(value: float | None, digits: int = 2) -> str:
    return DASH if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def _seconds(value: float | None) -> str:
    return DASH if value is None else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
