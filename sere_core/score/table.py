"""The tables that a finished run prints: from its record alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from sere_core.score.metrics import MEASURES
from sere_core.score.records import Record
from sere_core.tables import Cell, Column, Line, Table, print_tables
from sere_core.tables.model import number
from sere_registry.errors import counted

_COLUMNS = (Column("", text=True), Column("mean"), Column("by fold", text=True))
#: the scores of every run
TITLES = {"uar": "UAR", "war": "WAR", "f1": "macro F1"} | {"ece": "ECE", "brier": "Brier score", "nll": "NLL", "aurc": "AURC"}
#: what labels of the target were used for, beside scoring
LABEL_USE = {
    "trained": "TRAINED ON TARGET LABELS: a ceiling, not a method",
    "chosen": "EPOCHS CHOSEN BY TARGET LABELS: an oracle, for study, not a method",
}


def print_summary(record: Record, console: Console | None = None) -> None:
    """Print a record: its row's full name, scores over folds, confidence, recalls and confusions, openings, warnings.

    Of a target without labels, what can be said of its posteriors stands in place of scores.
    """
    console = console or Console()
    console.print(Padding(_name(record), (0, 0, 1, 0)), soft_wrap=False)
    print_tables(console, *tables(record))


def tables(record: Record) -> list[Table]:
    """What `print_summary` prints below the name."""
    if record.scores.get("scored", True):
        return [scores(record), measures(record), coverage(record), confusion(record)]
    return [label_free(record)]


def _name(record: Record) -> Grid:
    """All that a row's name must say: two rows that differ in it are not comparable."""
    manifest = record.manifest
    features = ", ".join(f"{name} {digest[:8]}" for name, digest in manifest["digests"]["features"].items())
    grid = Grid.grid(padding=(0, 1))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for title, value in {
        "run": f"{manifest['name']} ({manifest['job']})",
        "task": manifest["protocol"],
        "evidence": manifest["evidence"],
        "selection": manifest["selection"],
        "folds": record.folds["sha256"][:8],
        "features": features or "none",
    }.items():
        grid.add_row(Text(title), Text(str(value)))
    return grid


def scores(record: Record) -> Table:
    """UAR, WAR and macro F1 over folds, and what guessing reaches."""
    lines = [_over_folds(record, name, number) for name in MEASURES]
    lines += [
        Line((Cell(title), Cell(number(record.scores["pooled"][key])), Cell("")))
        for key, title in {"chance": "chance (UAR)", "majority": "majority (WAR)"}.items()
    ]
    return Table("scores", f"scores in %: {_spread(record)}", _COLUMNS, (tuple(lines),))


def measures(record: Record) -> Table:
    """Calibration, selective prediction, and the config's own metrics, over folds."""
    show = partial(number, percent=False, digits=3)
    lines = [_over_folds(record, name, show) for name in record.scores["mean"] if name not in MEASURES]
    named = "; below it the config's metrics" if record.scores["folds"][0]["metrics"] else ""
    return Table("measures", f"confidence, 0 is best{named}", _COLUMNS, (tuple(lines),))


def coverage(record: Record) -> Table:
    """What UAR would be if only the most confident predictions were kept."""
    lines = []
    for each in record.scores["pooled"]["confidence"]["selective"]:
        words = (number(each["coverage"], digits=0), number(each["uar"]), str(each["n"]), str(each["classes"]))
        lines.append(Line(tuple(map(Cell, words))))
    columns = tuple(map(Column, ("coverage", "UAR", "n", "classes")))
    return Table("coverage", "in %: UAR of the most confident predictions, all folds", columns, (tuple(lines),))


def _over_folds(record: Record, name: str, show: Callable[[float | None], str]) -> Line:
    found = record.scores
    mean, spread, values = found["mean"][name], found["std"][name], found["values"][name]
    by_fold = " ".join(map(show, values))
    if len(values) > 8:
        known = [value for value in values if value is not None]
        by_fold = f"{show(min(known))} to {show(max(known))}" if known else "-"
    cells = (Cell(TITLES.get(name, name)), Cell(show(mean), "" if spread is None else show(spread)), Cell(by_fold))
    return Line(cells)


def _spread(record: Record) -> str:
    count = len(record.scores["folds"])
    return f"mean ± standard deviation over {count} folds" if count > 1 else "1 fold"


def label_free(record: Record) -> Table:
    """Of a run that scored nothing: the predictions by class, and what the posteriors say of themselves."""
    found, classes = record.scores["evidence"], record.scores["classes"]
    lines = [(Cell(name), Cell(number(found["shares"][name])), Cell(str(round(found["shares"][name] * found["n"])))) for name in classes]
    columns = (Column("predicted", text=True), Column("% of utterances"), Column("n"))
    rules = f"entropy {found['entropy']:.3f}, information_max {found['information_max']:.3f}, snd {found['snd']:.3f}"
    notes = (
        f"NOTHING WAS SCORED: {record.folds['target']} has no labels; predictions.csv has the posteriors of its {found['n']} utterances",
        f"mean confidence {number(found['confidence'])} %; selectors: {rules} (larger is better; none of it says what is right)",
        *_remarks(record),
    )
    return Table("evidence", "what is predicted", columns, (tuple(map(Line, lines)),), notes)


def confusion(record: Record) -> Table:
    """A line for each true class: recall, utterances, and the predictions under abbreviated names; below it what a reader must know."""
    classes, pooled = record.scores["classes"], record.scores["pooled"]
    lines = []
    for name, recall, row in zip(classes, pooled["recall"], pooled["confusion"], strict=True):
        words = (name[:11], "absent" if recall is None else number(recall), str(sum(row)), *map(str, row))
        lines.append(Line(tuple(map(Cell, words))))
    predicted = (Column(name[:3], group="predicted") for name in classes)
    columns = (Column("class", text=True), Column("recall"), Column("n"), *predicted)
    what = "rows true, columns predicted, summed over folds"
    return Table("confusion", what, columns, (tuple(lines),), tuple(_remarks(record)))


def _remarks(record: Record) -> Iterator[str]:
    openings = record.scores["openings"]
    times = counted(len(openings), "time")
    if openings:
        yield f"target labels opened {times} by {', '.join(sorted({each['opener'] for each in openings}))}"
    yield from (LABEL_USE[use] for use in record.label_use)
    if not record.scores["complete"]:
        yield "not all folds are scored"
    more = record.manifest["notes"]
    for warning in dict.fromkeys([*record.folds["warnings"], *more.get("warnings", [])]):
        yield f"warning: {warning}"
    texts = [f"texts taken off: {line}" for line in more.get("texts", [])]
    for note in [*record.folds["notes"], *more.get("normalisation", [])[:1], *texts]:
        yield f"note: {note}"
