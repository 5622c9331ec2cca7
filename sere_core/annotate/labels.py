"""The manifest that annotation writes: a line for each utterance that has a label, as `use: manifest` reads it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sere_registry.cells import inert, meant
from sere_registry.errors import Place, error
from sere_registry.files import read_file, write_atomically

COLUMNS = ("path", "start", "end", "speaker", "emotion")


@dataclass(frozen=True)
class Question:
    """One utterance that a label is asked for.

    Args:
        path: the audio file.
        start, end: seconds; None for the whole file.
        speaker: "" where unknown.
        guess: what the model takes it for.
    """

    path: Path
    start: float | None = None
    end: float | None = None
    speaker: str = ""
    guess: str = ""

    @property
    def name(self) -> str:
        """How the page calls it."""
        part = "" if self.start is None else f", from {self.start:g} s"
        return f"{self.path.name}{part}"

    @property
    def key(self) -> tuple[Path, float | None, float | None]:
        """The same for the same stretch of the same file."""
        return self.path.resolve(), self.start, self.end


class Labels:
    """A manifest that grows by a line with each label and is whole on the disk at any moment.

    Args:
        file: a `.csv`; what it holds already is kept.

    Raises:
        SereError: D610 if a file is there that is no such manifest; X704 if it cannot be written.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lines: dict[tuple[Path, float | None, float | None], dict[str, str]] = {}
        if file.exists():
            self._read()

    def __len__(self) -> int:
        return len(self._lines)

    def of(self, question: Question) -> str:
        """Its label, "" if it has none yet."""
        return self._lines.get(question.key, {}).get("emotion", "")

    def put(self, question: Question, label: str) -> None:
        """Write a label down; "" takes one back."""
        if label:
            self._lines[question.key] = {**self._line(question), "emotion": label}
        else:
            self._lines.pop(question.key, None)
        _write(self.file, COLUMNS, self._lines.values())

    def write_target(self, pieces: Iterable[Question]) -> Path | None:
        """Beside the labels, the target that they are of: a manifest of all pieces, and of what was labelled before.

        None, and nothing is written, where every label is of a whole file: a folder has that, too.
        """
        if not any(line["start"] or line["end"] for line in self._lines.values()):
            return None
        lines = {**self._lines, **{each.key: self._line(each) for each in pieces}}
        file = self.file.with_suffix(".target.csv")
        rows = [{**line, "id": f"{line['path']}#{line['start']}-{line['end']}"} for line in lines.values()]
        _write(file, ("id", *COLUMNS[:-1]), rows)
        return file

    def _line(self, question: Question) -> dict[str, str]:
        """Its cells, but the label."""
        path = os.path.relpath(question.path.resolve(), self.file.parent.resolve())
        times = {"start": question.start, "end": question.end}
        cells = {name: "" if value is None else repr(value) for name, value in times.items()}
        return {"path": path if inert(path) == path else f"./{path}", **cells, "speaker": question.speaker}

    def _read(self) -> None:
        try:
            reader = csv.DictReader(io.StringIO(read_file(self.file).decode(), newline=""), strict=True)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise ValueError(f"its columns are not {', '.join(COLUMNS)}")
            for cells in reader:
                line = {name: meant(cell) for name, cell in cells.items()}
                start, end = (float(line[name]) if line[name] else None for name in ("start", "end"))
                self._lines[(self.file.parent / line["path"]).resolve(), start, end] = line
        except (OSError, ValueError, TypeError, AttributeError, RuntimeError, csv.Error) as cause:
            what = f"this is no manifest of `sere annotate`: {cause}"
            raise error("D610", what, "name another file with -o", Place(str(self.file))) from cause


def _write(file: Path, columns: Sequence[str], lines: Collection[Mapping[str, str]]) -> None:
    """A manifest; with speakers where all lines have one: some alone are an error."""
    unread = set() if all(line["speaker"] for line in lines) else {"speaker"}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if name in unread else inert(line[name]) for name in columns] for line in lines)
    write_atomically(file, text.getvalue().encode())
