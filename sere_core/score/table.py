"""The table that a finished run prints: from its record alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sere_core.score.reading import Record

#: a rule of hyphens under the head, and nothing else
_PLAIN = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
_TITLES = {"uar": "UAR", "war": "WAR", "f1": "macro F1"}


def print_summary(record: Record, console: Console | None = None) -> None:
    """Print the summary of a record: plain text where the console is not a terminal."""
    console = console or Console()
    unicode = (console.encoding or "").lower().startswith("utf")
    console.print(summary(record, plain=not console.is_terminal, unicode=unicode), soft_wrap=False)


def summary(record: Record, plain: bool = False, unicode: bool = True) -> RenderableType:
    """The summary of a record: its row's full name, scores over folds, recalls and confusions, openings, warnings.  80 columns do.

    Args:
        plain: no rules but those of ASCII, no styles.
        unicode: may ± be printed?
    """
    style = _PLAIN if plain else box.SIMPLE_HEAD
    sign = "±" if unicode else "+-"
    count = len(record.scores["folds"])
    blocks: list[RenderableType] = [_name(record)]
    blocks += _titled(f"scores in %, {count} fold{'s' * (count != 1)}", _scores(record.scores, style, sign))
    blocks += _titled("rows true, columns answered, summed over folds", _confusion(record.scores, style))
    blocks += [Padding(Text(line), (0, 0, 0, 1)) for line in _remarks(record)]
    return Group(*blocks)


def _name(record: Record) -> RenderableType:
    """All that a row's name must say: two rows that differ in it are not comparable."""
    manifest = record.manifest
    features = ", ".join(f"{name} {digest[:8]}" for name, digest in manifest["digests"]["features"].items())
    table = Table.grid(padding=(0, 1))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for title, value in {
        "run": f"{manifest['name']} ({manifest['job']})",
        "task": manifest["protocol"],
        "evidence": manifest["evidence"],
        "selection": manifest["selection"],
        "folds": record.folds["sha256"][:8],
        "features": features or "none",
    }.items():
        table.add_row(Text(f" {title}"), Text(str(value)))
    return table


def _titled(title: str, table: Table) -> tuple[RenderableType, RenderableType]:
    """A table under its title; Rich's own titles are broken where the table is narrower."""
    return Text(f" {title}", style="table.title"), table


def _scores(scores: Mapping[str, Any], style: box.Box, sign: str) -> Table:
    count = len(scores["folds"])
    table = Table(box=style)
    table.add_column("")
    table.add_column(f"mean {sign} std" if count > 1 else "value", justify="right")
    if count > 1:
        table.add_column("by fold")
    for key, title in _TITLES.items():
        spread = scores["std"][key]
        value = _percent(scores["mean"][key]) + (f" {sign} {_percent(spread)}" if spread is not None else "")
        table.add_row(Text(title), value, *([_values(scores["values"][key])] if count > 1 else []))
    pooled = scores["pooled"]
    blank = [""] if count > 1 else []
    table.add_row(Text("chance (UAR)"), _percent(pooled["chance"]), *blank)
    table.add_row(Text("majority (WAR)"), _percent(pooled["majority"]), *blank)
    return table


def _values(values: Sequence[float]) -> str:
    """Values by fold; of many, the extremes."""
    if len(values) <= 8:
        return " ".join(map(_percent, values))
    return f"{_percent(min(values))} to {_percent(max(values))}"


def _confusion(scores: Mapping[str, Any], style: box.Box) -> Table:
    """One row per true class: recall, utterances, and the answers under abbreviated names."""
    classes, pooled = scores["classes"], scores["pooled"]
    table = Table(box=style, padding=0)
    table.add_column("class", no_wrap=True)
    wide = len(classes) > 9  # twelve classes with four digits each just fit
    table.add_column("rec." if wide else "recall", justify="right")
    table.add_column("n", justify="right")
    for name in classes:
        table.add_column(name[:3], justify="right")
    for name, recall, row in zip(classes, pooled["recall"], pooled["confusion"], strict=True):
        table.add_row(Text(name[: 5 if wide else 11]), "absent" if recall is None else _percent(recall), str(sum(row)), *map(str, row))
    return table


def _remarks(record: Record) -> Iterator[str]:
    openings = record.scores["openings"]
    times = f"{len(openings)} time{'s' * (len(openings) != 1)}"
    yield f"target labels opened {times} by {', '.join(sorted({each['opener'] for each in openings})) or 'nobody'}"
    if record.folds["uses_target_labels"]:
        yield "TRAINED ON TARGET LABELS: a ceiling, not a method"
    if not record.scores["complete"]:
        yield "not all folds are scored"
    more = record.manifest["notes"]
    for warning in dict.fromkeys([*record.folds["warnings"], *more.get("warnings", [])]):
        yield f"warning: {warning}"
    for note in [*record.folds["notes"], *more.get("normalisation", [])[:1]]:
        yield f"note: {note}"


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.1f}"
