"""The tables that a finished run prints: from its record alone."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from sere_core.score.records import Record
from sere_core.tables import Cell, Column, Line, Table, print_tables
from sere_core.tables.model import number

_TITLES = {"uar": "UAR", "war": "WAR", "f1": "macro F1"}


def print_summary(record: Record, console: Console | None = None) -> None:
    """Print the summary of a record: its row's full name, scores over folds, recalls and confusions, openings, warnings.

    Of a target without labels, what can be said of its posteriors stands in place of scores.
    """
    console = console or Console()
    console.print(Padding(_name(record), (0, 0, 1, 0)), soft_wrap=False)
    scored = record.scores.get("scored", True)
    print_tables(console, *((scores(record), confusion(record)) if scored else (label_free(record),)))


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
    found, pooled = record.scores, record.scores["pooled"]
    count = len(found["folds"])
    lines = []
    for key, title in _TITLES.items():
        mean, spread, values = found["mean"][key], found["std"][key], found["values"][key]
        by_fold = " ".join(map(number, values)) if count <= 8 else f"{number(min(values))} to {number(max(values))}"
        lines.append((Cell(title), Cell(number(mean), "" if spread is None else number(spread)), Cell(by_fold)))
    lines += [
        (Cell(title), Cell(number(pooled[key])), Cell(""))
        for key, title in {"chance": "chance (UAR)", "majority": "majority (WAR)"}.items()
    ]
    columns = (Column("", text=True), Column("mean"), Column("by fold", text=True))
    what = f"scores in %: mean ± standard deviation over {count} folds" if count > 1 else "scores in %, 1 fold"
    return Table("scores", what, columns, (tuple(map(Line, lines)),))


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
    times = f"{len(openings)} time{'s' * (len(openings) != 1)}"
    if openings:
        yield f"target labels opened {times} by {', '.join(sorted({each['opener'] for each in openings}))}"
    if record.folds["uses_target_labels"]:
        yield "TRAINED ON TARGET LABELS: a ceiling, not a method"
    if not record.scores["complete"]:
        yield "not all folds are scored"
    more = record.manifest["notes"]
    for warning in dict.fromkeys([*record.folds["warnings"], *more.get("warnings", [])]):
        yield f"warning: {warning}"
    for note in [*record.folds["notes"], *more.get("normalisation", [])[:1]]:
        yield f"note: {note}"
