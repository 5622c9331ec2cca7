"""A table for the terminal: broken into blocks where lines are too long, plain where there is no terminal."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from itertools import pairwise

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from sere_core.tables.model import Cell, Column, Table

Say = Callable[[str], str]

#: a rule under the head and between sections, and nothing else
_FANCY = box.Box("    \n    \n ── \n    \n ── \n    \n    \n    \n")
_PLAIN = box.Box("    \n    \n -- \n    \n -- \n    \n    \n    \n", ascii=True)
_STYLES = {"best": "bold", "second": "underline", "": ""}
#: without styles the same is told by a sign in front
_SIGNS = {"best": "*", "second": "_", "": ""}
_ARROWS = {"better": "↑", "worse": "↓", "": ""}
_ASCII = str.maketrans({"±": "+-", "†": "#", "✓": "x", "–": "-", "−": "-", "↑": "", "↓": ""})

#: blanks between columns, and the widest that a row's name may be before it is folded: what saves a block is taken
_FITS = ((2, 24), (1, 24), (1, 16))


def print_tables(console: Console, *tables: Table) -> None:
    """Plain text where the console is no terminal, ASCII where its encoding wants it."""
    unicode = (console.encoding or "").lower().startswith("utf")
    for table in tables:
        console.print(draw(table, console.width, plain=not console.is_terminal, unicode=unicode), soft_wrap=False)


def terminal(table: Table) -> str:
    """The table as a terminal without styles would have it, 160 columns wide."""
    text = io.StringIO()
    Console(file=text, width=160, force_terminal=False, force_jupyter=False).print(draw(table, 160, plain=True))
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def draw(table: Table, width: int, plain: bool = False, unicode: bool = True) -> RenderableType:
    """At most `width` wide; a plain table has signs for best and second."""

    def say(text: str) -> str:
        return text if unicode else text.translate(_ASCII).encode("ascii", "replace").decode()

    cells = [[_show(line.cells[place], say, plain) for line in table.lines] for place in range(len(table.columns))]
    widths = [_width(column, each, say) for column, each in zip(table.columns, cells, strict=True)]
    gap, name, blocks = _layout(table, widths, width)
    notes = [note for note in table.notes if not (plain and "in bold" in note)]
    if plain and any(cell.standing for line in table.lines for cell in line.cells):
        notes.insert(0, "* best, _ second, among methods.")
    return Group(
        Padding(Text(say(table.caption)), (0, 0, 1, 0), expand=False),
        *(Padding(_grid(table, places, cells, say, plain, (gap, name)), (0, 0, 1, 0), expand=False) for places in blocks),
        *(Text(say(note)) for note in notes),
    )


def _show(cell: Cell, say: Say, plain: bool) -> Text:
    spread = f"±{cell.spread}" if cell.spread else ""
    more = f"({cell.more.removeprefix('n=')})" if cell.more else ""
    sign = _SIGNS[cell.standing] if plain else ""
    style = "" if plain else _STYLES[cell.standing]
    return Text.assemble((say(f"{sign}{cell.text}{_ARROWS[cell.mark]}{spread}{more}"), style))  # blanks beside it have none


def _grid(table: Table, places: Sequence[int], cells: Sequence[Sequence[Text]], say: Say, plain: bool, fit: tuple[int, int]) -> Grid:
    gap, name = fit
    grid = Grid(box=_PLAIN if plain else _FANCY, pad_edge=False, show_edge=False, padding=(0, gap - 1, 0, 0))
    for place in places:
        column = table.columns[place]
        side = "left" if column.text else "right"
        head = Text(say(_head(column)), justify=side)  # type: ignore[arg-type]
        grid.add_column(head, justify=side, no_wrap=place > 0, max_width=None if place else name, overflow="fold")  # type: ignore[arg-type]
    rows = zip(*cells, strict=True)
    for section in table.sections:
        for line, row in zip(section, rows, strict=False):
            if table.says(line, places):
                grid.add_row(*(row[place] for place in places))
        grid.add_section()
    return grid


def _head(column: Column) -> str:
    """A head on two lines where it is a pair or of several words."""
    title = column.title
    if len(title) <= 8:
        return title
    for sign in (">", "_to_", " "):
        first, found, rest = title.partition(sign)
        if found:
            return f"{first}{'' if sign == ' ' else '>'}\n{rest}"
    return title


def _width(column: Column, cells: Sequence[Text], say: Say) -> int:
    return max(*(len(line) for line in say(_head(column)).split("\n")), *(cell.cell_len for cell in cells), 1)


def _layout(table: Table, widths: Sequence[int], width: int) -> tuple[int, int, list[list[int]]]:
    def fit(gap: int, name: int) -> tuple[tuple[int, int], int, int, list[list[int]]]:
        stub = [min(each, width if place else name) + gap for place, each in enumerate(widths[: table.stub])]
        blocks = table.blocks([each + gap for each in widths], width - sum(stub) + gap - 1)
        groups = [[table.columns[place].group for place in block[table.stub :]] for block in blocks]
        torn = sum(one[-1] == other[0] for one, other in pairwise(groups))  # groups that stand in two blocks
        return (len(blocks), torn), gap, name, blocks

    return min((fit(*each) for each in _FITS), key=lambda each: each[0])[1:]
