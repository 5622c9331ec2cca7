"""What every table is, whoever writes it: columns, sections of lines, cells that know whether they are best; no markup."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Literal

Standing = Literal["", "best", "second"]
Mark = Literal["", "better", "worse"]


@dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        text: the value as it is shown; "-" where there is none.
        spread, more: what follows ±, and what follows in small, e.g. "n=2".
        mark: is a difference from the reference shown?
        data: for CSV, a value for each of the column's `fields`.
        below: lines for which only a page has room.
    """

    text: str = ""
    spread: str = ""
    more: str = ""
    standing: Standing = ""
    mark: Mark = ""
    data: tuple[float | int | str | None, ...] = ()
    below: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        fields: the names of its values in CSV.
        group: columns of one group stay side by side where a line is too long.
        text: words, to the left; numbers stand to the right.
        ranked: are its methods compared with each other?
    """

    title: str
    fields: tuple[str, ...] = ()
    group: str = ""
    text: bool = False
    ranked: bool = False


@dataclass(frozen=True)
class Line:
    """A cell for each column, and what CSV says of the row besides."""

    cells: tuple[Cell, ...]
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Table:
    """Sections of lines between rules, with sentences for below; the first `stub` columns name the line, in each block."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    sections: tuple[tuple[Line, ...], ...]
    notes: tuple[str, ...] = ()
    stub: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "caption", plain(self.caption))  # both hold names
        object.__setattr__(self, "notes", tuple(map(plain, self.notes)))

    def __repr__(self) -> str:
        return f"<Table {self.name}: {self.caption}>"

    def __str__(self) -> str:
        from sere_core.tables.terminal import terminal

        return terminal(self)

    def _repr_html_(self) -> str:
        from sere_core.tables.html import html

        return html(self)

    @property
    def lines(self) -> Iterable[Line]:
        return (line for section in self.sections for line in section)

    def says(self, line: Line, places: Sequence[int]) -> bool:
        """Does a line say anything in a block of columns?"""
        return any(line.cells[place].text for place in places[self.stub :])

    def blocks(self, widths: Sequence[int], room: int, split: bool = True) -> list[list[int]]:
        """The places of the columns in blocks below each other, each after the stub, on lines of `room` beside it.

        A group of columns that does not fit begins a new block; with `split` one that is wider than a block is broken.
        """
        found: list[list[int]] = [[]]
        for _, group in groupby(range(self.stub, len(self.columns)), lambda place: self.columns[place].group):
            rest = list(group)
            if found[-1] and sum(widths[place] for place in (*found[-1], *rest)) > room:
                found.append([])
            for place in rest:
                if split and found[-1] and sum(widths[each] for each in (*found[-1], place)) > room:
                    found.append([])
                found[-1].append(place)
        return [[*range(self.stub), *block] for block in found]


def number(value: float | None, percent: bool = True, digits: int = 1) -> str:
    return "-" if value is None else f"{100 * value if percent else value:,.{digits}f}"


def plain(text: str) -> str:
    """One line without control characters."""
    return " ".join("".join(each if each.isprintable() or each.isspace() else "?" for each in text).split())


def rank(lines: Sequence[Line], columns: Sequence[Column]) -> tuple[Line, ...]:
    """The lines with best and second of every ranked column marked, among two methods or more, as values are shown.

    A cell with `more` or in parentheses is of other runs than its neighbours and does not compete.
    """
    found = [list(line.cells) for line in lines]
    for place, column in enumerate(columns):
        values = {}
        for index, line in enumerate(lines):
            cell = line.cells[place]
            if column.ranked and line.about.get("role") == "method" and not cell.more and cell.text[:1].isdigit():
                values[index] = float(cell.text)
        order = sorted(values.values(), reverse=True)
        if len(order) < 2:
            continue
        standings: dict[float, Standing] = {order[1]: "second", order[0]: "best"}  # two that are best leave no second
        for index, value in values.items():
            found[index][place] = replace(found[index][place], standing=standings.get(value, ""))
    return tuple(replace(line, cells=tuple(cells)) for line, cells in zip(lines, found, strict=True))
