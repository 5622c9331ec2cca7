"""The rows of `sere predict`, and the formats that they are written in.

CSV and JSONL are written row by row.  For audformat, Praat and ELAN the rows are kept as JSONL until all are there; then they
become a folder, which has all rows as `predictions.csv` too, with those of files that could not be used.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

from sere_core.predict.inputs import Source
from sere_registry.cells import csv_line, inert
from sere_registry.errors import SereError, error

#: bytes of a file's name that a recording's may have
_LONGEST = 180

#: format -> the suffix that means it
FORMATS = {"csv": ".csv", "jsonl": ".jsonl", "audformat": "", "TextGrid": "", "eaf": ""}

#: format -> module, distribution and extra that it needs
_NEEDS = {
    "audformat": ("audformat", "audformat", "audformat"),
    "TextGrid": ("pympi", "pympi-ling", "annotation"),
    "eaf": ("pympi", "pympi-ling", "annotation"),
}


class Cells(TypedDict):
    """Column -> value of a row, with a posterior for each class in between; None where there is none."""

    path: str
    start: float | None
    end: float | None
    speaker: str
    statistics: str
    prediction: str
    confidence: float | None
    error: str
    warning: str


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
        warning: what is odd about its audio.
    """

    source: Source
    statistics: str = ""
    posteriors: tuple[float, ...] = ()
    prediction: str = ""
    confidence: float | None = None
    error: str = ""
    warning: str = ""

    def cells(self, classes: Sequence[str]) -> dict[str, str | float | None]:
        """Column -> value; None where there is none."""
        return {
            "path": os.fspath(self.source.path),
            "start": self.source.start,
            "end": self.source.end,
            "speaker": self.source.speaker,
            "statistics": self.statistics,
            **dict(itertools.zip_longest(classes, self.posteriors)),
            "prediction": self.prediction,
            "confidence": self.confidence,
            "error": self.error,
            "warning": self.warning,
        }


class Writer:
    """A format.

    Args:
        name: of the format.
        classes: of the model.

    Raises:
        SereError: P108 where the format's library is not installed.
    """

    def __init__(self, name: str, classes: Sequence[str]) -> None:
        module, distribution, extra = _NEEDS.get(name, ("csv", "", ""))
        if importlib.util.find_spec(module) is None:
            raise error(
                "P108",
                f"the format {name} needs the distribution '{distribution}'",
                f'pip install "sere[{extra}]"',
            )
        self.name, self.classes = name, tuple(classes)

    @property
    def header(self) -> bytes:
        """What stands before the first row."""
        return _csv_header(self.classes) if self.name == "csv" else b""

    def line(self, row: Row) -> bytes:
        """A row, with its end."""
        cells = row.cells(self.classes)
        return _csv_line(cells) if self.name == "csv" else _json_line(cells)

    def finish(self, rows: Path, made: Path) -> Path:
        """The output of all rows: `rows` itself, or the folder `made`, which is new."""
        if self.name in ("csv", "jsonl"):
            return rows
        write = {"audformat": _audformat, "TextGrid": _textgrids, "eaf": _eafs}[self.name]
        made.mkdir()
        with open(made / "predictions.csv", "wb") as file:
            file.write(_csv_header(self.classes))
            file.writelines(_csv_line(cast(Mapping[str, object], cells)) for cells in _read(rows))
        write([cells for cells in _read(rows) if not cells["error"]], made, self.classes)
        return made


def format_of(out: str, named: str | None) -> str:
    """The format that was named, or that the suffix means.

    Raises:
        SereError: C302.
    """
    suffix = Path(out).suffix.lower()
    if out == "-" and named in _NEEDS:
        raise error("C302", f"{named} is a folder: it cannot go to standard output", "name the folder with -o")
    if named is not None or out == "-" or not suffix:
        return named or "csv"
    found = [name for name, own in FORMATS.items() if own == suffix]
    if not found:
        raise error("C302", f"{out}: no format is called {suffix}", f"name one with --format: {', '.join(FORMATS)}")
    return found[0]


def _csv_header(classes: Sequence[str]) -> bytes:
    return _csv(Row(Source(Path())).cells(classes))


def _csv_line(cells: Mapping[str, object]) -> bytes:
    return _csv(_cell(name, value) for name, value in cells.items())


def _csv(cells: Iterable[str]) -> bytes:
    """With bytes of a name that are no UTF-8 as `\\udc..`."""
    return csv_line(cells).encode(errors="backslashreplace")


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    text = str(value)
    return f"./{text}" if name == "path" and inert(text) != text else inert(text)


def _json_line(cells: Mapping[str, object]) -> bytes:
    try:
        return json.dumps(cells, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # bytes of a name that are no UTF-8
        return json.dumps(cells).encode() + b"\n"


def _read(rows: Path) -> Iterator[Cells]:
    with open(rows, "rb") as file:
        for line in file:
            yield json.loads(line)


#: (first, last, prediction, confidence), times in seconds
Interval = tuple[float, float, str, str]


def _textgrids(rows: list[Cells], folder: Path, classes: Sequence[str]) -> None:
    """Praat: one interval tier of predictions, and one of confidences."""
    from pympi.Praat import TextGrid

    def write(target: str, path: Path, end: float, intervals: list[Interval]) -> None:
        grid = TextGrid(xmax=end)
        for number, name in enumerate(("emotion", "confidence"), start=2):
            tier = grid.add_tier(name)
            for interval in intervals:
                tier.add_interval(interval[0], interval[1], str(interval[number]))
        grid.to_file(target)

    _by_recording(rows, folder, ".TextGrid", write)


def _eafs(rows: list[Cells], folder: Path, classes: Sequence[str]) -> None:
    """ELAN: a tier of predictions and one of confidences, linked to the recording."""
    from pympi.Elan import Eaf

    def write(target: str, path: Path, end: float, intervals: list[Interval]) -> None:
        file = Eaf(author="sere")
        file.remove_tier("default")
        file.add_linked_file(path.resolve().as_uri(), mimetype="audio/x-wav")
        for number, name in enumerate(("emotion", "confidence"), start=2):
            file.add_tier(name)
            for interval in intervals:
                file.add_annotation(name, round(1000 * interval[0]), round(1000 * interval[1]), str(interval[number]))
        file.to_file(target)

    _by_recording(rows, folder, ".eaf", write)


def _by_recording(rows: list[Cells], folder: Path, suffix: str, write: Callable[[str, Path, float, list[Interval]], None]) -> None:
    """A file for each recording, named as it, in its folder below the one that holds all.

    Where two in a folder have one name, the second has its suffix too, or a number.
    """
    found: dict[str, list[Cells]] = defaultdict(list)
    for row in rows:
        found[row["path"]].append(row)
    places = {path: Path(os.path.abspath(path)) for path in found}
    top = os.path.commonpath([place.parent for place in places.values()]) if places else ""
    used: set[Path] = set()
    for path, own in found.items():
        below = folder / places[path].parent.relative_to(top)
        stem, whole = (os.fsdecode(os.fsencode(name)[:_LONGEST]) for name in (places[path].stem, places[path].name))
        names = itertools.chain([stem, whole], (f"{stem}-{number}" for number in itertools.count(2)))
        target = next(place for name in names if (place := below / f"{name}{suffix}") not in used)
        used.add(target)
        below.mkdir(parents=True, exist_ok=True)
        end = max([_seconds(Path(path)), *(row["end"] or 0.0 for row in own)])
        write(str(target), Path(path), end, list(_intervals(own, end)))


def _seconds(path: Path) -> float:
    from sere_core.features.decoding import opened

    seconds = 0.0
    with contextlib.suppress(SereError), opened(path) as file:  # a damaged one is as long as its last row
        for block in file.blocks():
            seconds += len(block) / file.rate
    return seconds


def _intervals(rows: list[Cells], end: float) -> Iterator[Interval]:
    """Tiers hold no overlapping intervals: a window ends where the next begins."""
    rows = sorted(rows, key=lambda row: row["start"] or 0.0)
    starts = [row["start"] or 0.0 for row in rows] + [end]
    for row, first, following in zip(rows, starts, starts[1:], strict=False):
        last = min(end if row["end"] is None else row["end"], max(following, first))
        if last > first:
            yield first, last, row["prediction"] or "?", f"{row['confidence']:.3f}"


def _audformat(rows: list[Cells], folder: Path, classes: Sequence[str]) -> None:
    """An audformat database with one segmented table: emotion, confidence, and a posterior for each class."""
    import audformat
    import pandas

    rows = list({(row["path"], row["start"], row["end"]): row for row in rows}.values())  # an index has no duplicates
    index = audformat.segmented_index(
        [row["path"].encode(errors="backslashreplace").decode() for row in rows],
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
        table[name].set([cast(Mapping[str, float], row)[name] for row in rows])
    database.save(str(folder), storage_format="csv")
