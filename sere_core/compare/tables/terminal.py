"""A table for the terminal: broken into blocks where lines are too long, plain where there is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from sere_core.compare.facts import Results
from sere_core.compare.stats.summary import Summary
from sere_core.compare.tables.model import Cell, Column, Table

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


def print_table(results: Results, console: Console | None = None, *, shape: str = "main", summary: Summary | None = None) -> None:
    """Print a table of a comparison; plain text where the console is no terminal, ASCII where its encoding wants it.

    Args:
        results: of the comparison.
        console: stdout by default.
        shape: one of `sere_core.compare.tables.SHAPES`.
        summary: of these results, if it has been computed already.

    Raises:
        SereError: T508 if the rows do not share a table.
    """
    from sere_core.compare.tables.shapes import build

    console = console or Console()
    table = build(results, shape, summary)
    unicode = (console.encoding or "").lower().startswith("utf")
    console.print(draw(table, console.width, plain=not console.is_terminal, unicode=unicode), soft_wrap=False)


def draw(table: Table, width: int, plain: bool = False, unicode: bool = True) -> RenderableType:
    """A table that is at most `width` wide.

    Args:
        plain: no styles: best and second by a sign in front.
        unicode: may ±, † and arrows be printed?
    """

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
    text = (
        cell.text
        + _ARROWS[cell.mark]
        + (f"±{cell.spread}" if cell.spread else "")
        + (f"({cell.more.removeprefix('n=')})" if cell.more else "")
    )
    found = Text()
    found.append(say(_SIGNS[cell.standing] + text if plain else text), "" if plain else _STYLES[cell.standing])
    return found


def _grid(table: Table, places: Sequence[int], cells: Sequence[Sequence[Text]], say: Say, plain: bool, fit: tuple[int, int]) -> Grid:
    gap, name = fit
    grid = Grid(box=_PLAIN if plain else _FANCY, pad_edge=False, show_edge=False, padding=(0, gap - 1, 0, 0))
    for place in places:
        column = table.columns[place]
        side = "left" if column.text else "right"
        head = Text(say(_head(column)), justify=side)  # type: ignore[arg-type]
        grid.add_column(head, justify=side, no_wrap=place > 0, max_width=None if place else name, overflow="fold")  # type: ignore[arg-type]
    index = 0
    for number, section in enumerate(table.sections):
        if number:
            grid.add_section()
        for _ in section:
            row = [cells[place][index] for place in places]
            if any(row[table.stub :]):  # chance says nothing in a block of tests
                grid.add_row(*row)
            index += 1
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
    """Blanks between columns, the width of names, and the columns of each block."""
    fits = [(gap, name, _blocks(table, widths, width, gap, name)) for gap, name in _FITS]

    def torn(blocks: Sequence[Sequence[int]]) -> int:
        """How many groups stand in two blocks."""
        sides = pairwise(blocks)
        return sum(table.columns[one[-1]].group == table.columns[other[table.stub]].group for one, other in sides)

    return min(fits, key=lambda fit: (len(fit[2]), torn(fit[2])))


def _blocks(table: Table, widths: Sequence[int], width: int, gap: int, name: int) -> list[list[int]]:
    """All columns in one block where they fit, else groups that stay together where one fits, each after the stub."""
    stub = list(range(table.stub))
    room = width - sum(min(widths[place], name if place == 0 else width) + gap for place in stub) + gap - 1
    rest = list(range(table.stub, len(table.columns)))
    found, block = [], list[int]()

    def used(places: Sequence[int]) -> int:
        return sum(widths[place] + gap for place in places)

    while rest:
        group = [place for place in rest if table.columns[place].group == table.columns[rest[0]].group]
        if block and used([*block, *group]) > room:
            found.append([*stub, *block])
            block = []
        while len(group) > 1 and used([*block, *group]) > room:
            group.pop()
        block += group
        rest = rest[len(group) :]
    return [*found, [*stub, *block]]
