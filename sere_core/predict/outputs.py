"""The rows of `sere predict`, and the formats that they are written in.

CSV and JSONL are written row by row.  For audformat, Praat and ELAN the rows are kept as JSONL until all are there.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sere_core.predict.inputs import Source
from sere_registry.errors import error
from sere_registry.files import atomic_path

#: a cell that begins like this is run as a formula by spreadsheets
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Row:
    """One line of the output.

    Args:
        source: which part of which file; whose, in which language.
        statistics: what standardised its features.
        posteriors: in the order of the model's classes; none where the file could not be used.
        prediction: the class; "" for an error, and below the wanted confidence.
        confidence: the prediction's posterior at the model's temperature.
        error: code and words; "" where all is well.
    """

    source: Source
    statistics: str = ""
    posteriors: tuple[float, ...] = ()
    prediction: str = ""
    confidence: float | None = None
    error: str = ""

    def cells(self, classes: Sequence[str]) -> dict[str, Any]:
        """Column -> value; None where there is none."""
        path = os.fspath(self.source.path)
        return {
            "path": path if path.isprintable() else path.encode("unicode_escape", "surrogateescape").decode(),
            "start": self.source.start,
            "end": self.source.end,
            "speaker": self.source.speaker,
            "statistics": self.statistics,
            **dict(itertools.zip_longest(classes, self.posteriors)),
            "prediction": self.prediction,
            "confidence": self.confidence,
            "error": self.error,
        }


class Writer:
    """A format.

    Args:
        name: of the format.
        classes: of the model.
    """

    def __init__(self, name: str, classes: Sequence[str]) -> None:
        self.name, self.classes = name, tuple(classes)

    @property
    def header(self) -> bytes:
        """What stands before the first row."""
        return self._csv(Row(Source(Path())).cells(self.classes)) if self.name == "csv" else b""

    def line(self, row: Row) -> bytes:
        """A row, with its end."""
        cells = row.cells(self.classes)
        if self.name != "csv":
            return json.dumps(cells, ensure_ascii=False).encode(errors="replace") + b"\n"
        return self._csv([_cell(name, value) for name, value in cells.items()])

    def finish(self, part: Path, out: Path) -> None:
        """Make the output of all rows in `part`, which is removed.

        Raises:
            SereError: P108 where the format's library is not installed, X704 or X705.
        """
        if self.name in ("csv", "jsonl"):
            os.replace(part, out)
            return
        write: Callable[[Path, Path, Sequence[str]], None] = {"audformat": _audformat, "TextGrid": _textgrid, "eaf": _eaf}[self.name]
        write(part, out, self.classes)
        part.unlink()

    def _csv(self, cells: Any) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        return text.getvalue().encode(errors="replace")


#: format -> the suffix that means it
FORMATS = {"csv": ".csv", "jsonl": ".jsonl", "audformat": "", "TextGrid": "", "eaf": ""}


def format_of(out: str, named: str | None) -> str:
    """The format that was named, or that the suffix means.

    Raises:
        SereError: C302.
    """
    if named is not None:
        return named
    suffix = Path(out).suffix.lower()
    if out == "-" or not suffix:
        return "csv"
    found = [name for name, own in FORMATS.items() if own == suffix]
    if not found:
        raise error("C302", f"{out}: no format is called {suffix}", f"name one with --format: {', '.join(FORMATS)}")
    return found[0]


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    text = str(value)
    if text.startswith(_FORMULA):
        return f"./{text}" if name == "path" else f"'{text}"
    return text


def _by_file(part: Path) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """The rows that follow each other and are of one file; those that are errors are left out."""
    with open(part, "rb") as file:
        rows = (json.loads(line) for line in file)
        for path, group in itertools.groupby(rows, key=lambda row: row["path"]):
            yield Path(path), [row for row in group if not row["error"]]


def _seconds(path: Path) -> float:
    import soundfile

    return float(soundfile.info(path).duration)


def _needed(module: str, distribution: str, extra: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as cause:
        raise error("P108", f"this format needs the distribution '{distribution}'", f'pip install "sere[{extra}]"') from cause


def _annotations(folder: Path, suffix: str, write: Callable[[Path, Path, list[dict[str, Any]]], None], part: Path) -> None:
    """A file for each recording, named as it, in one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    used: set[str] = set()
    for path, rows in _by_file(part):
        if rows:
            name = next(name for name in _names(path.stem) if name not in used)
            used.add(name)
            with atomic_path(folder / f"{name}{suffix}") as temporary:
                write(temporary, path, rows)


def _names(stem: str) -> Iterator[str]:
    return itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))


def _textgrid(part: Path, out: Path, classes: Sequence[str]) -> None:
    """Praat: one interval tier of predictions, and one of confidences."""
    praat = _needed("pympi.Praat", "pympi-ling", "annotation")

    def write(target: Path, path: Path, rows: list[dict[str, Any]]) -> None:
        end = max([_seconds(path), *(row["end"] or 0 for row in rows)])
        grid = praat.TextGrid(xmax=end)
        for name in ("emotion", "confidence"):
            tier = grid.add_tier(name)
            for first, last, row in _without_overlap(rows, end):
                value = row["prediction"] or "?" if name == "emotion" else f"{row['confidence']:.3f}"
                tier.add_interval(first, last, value)
        grid.to_file(str(target))

    _annotations(out, ".TextGrid", write, part)


def _eaf(part: Path, out: Path, classes: Sequence[str]) -> None:
    """ELAN: a tier of predictions and one of confidences, linked to the recording."""
    elan = _needed("pympi.Elan", "pympi-ling", "annotation")

    def write(target: Path, path: Path, rows: list[dict[str, Any]]) -> None:
        file = elan.Eaf(author="sere")
        file.remove_tier("default")
        file.add_linked_file(str(path.resolve()), mimetype="audio/x-wav")
        end = max([_seconds(path), *(row["end"] or 0 for row in rows)])
        for name in ("emotion", "confidence"):
            file.add_tier(name)
            for first, last, row in _without_overlap(rows, end):
                value = row["prediction"] or "?" if name == "emotion" else f"{row['confidence']:.3f}"
                file.add_annotation(name, round(1000 * first), round(1000 * last), value)
        file.to_file(str(target))

    _annotations(out, ".eaf", write, part)


def _without_overlap(rows: list[dict[str, Any]], end: float) -> Iterator[tuple[float, float, dict[str, Any]]]:
    """Tiers hold no overlapping intervals: a window ends where the next begins."""
    starts = [row["start"] or 0.0 for row in rows] + [end]
    for row, first, following in zip(rows, starts, starts[1:], strict=False):
        last = min(end if row["end"] is None else row["end"], max(following, first))
        if last > first:
            yield first, last, row


def _audformat(part: Path, out: Path, classes: Sequence[str]) -> None:
    """An audformat database with one segmented table: emotion, confidence, and a posterior for each class."""
    audformat = _needed("audformat", "audformat", "audformat")
    import pandas

    rows = [row for _, found in _by_file(part) for row in found]
    index = audformat.segmented_index(
        [row["path"] for row in rows],
        [pandas.Timedelta(row["start"] or 0, unit="s") for row in rows],
        [pandas.NaT if row["end"] is None else pandas.Timedelta(row["end"], unit="s") for row in rows],
    )
    database = audformat.Database("predictions", description="Predictions of sere")
    database.schemes["emotion"] = audformat.Scheme(labels=list(classes))
    database.schemes["share"] = audformat.Scheme(audformat.define.DataType.FLOAT, minimum=0, maximum=1)
    database.raters["model"] = audformat.Rater(audformat.define.RaterType.MACHINE)
    table = database["emotion"] = audformat.Table(index)
    table["emotion"] = audformat.Column(scheme_id="emotion", rater_id="model")
    table["emotion"].set([row["prediction"] or None for row in rows])
    for name in ("confidence", *classes):
        table[name] = audformat.Column(scheme_id="share", rater_id="model")
        table[name].set([row[name] for row in rows])
    database.save(str(out), storage_format="csv")
