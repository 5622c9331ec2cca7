"""Text in the cells of a CSV, which a spreadsheet may open: none is a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")


def inert(text: str) -> str:
    """A cell's text with an apostrophe before what a spreadsheet would take for a formula; numbers stay as they are.

    >>> inert("=1+1"), inert("-0.5"), inert("anna")
    ("'=1+1", '-0.5', 'anna')
    """
    if not _FORMULA.match(text):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def csv_line(cells: Iterable[object]) -> str:
    """A line of a CSV that ends with a newline; what holds one, or a carriage return, is quoted.

    >>> csv_line(["a", "b\\rc", 0.5])
    'a,"b\\rc",0.5\\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"


def meant(cell: str) -> str:
    """The text of which `inert` made a cell.

    >>> meant("'=1+1"), meant("-0.5"), meant("'anna")
    ('=1+1', '-0.5', "'anna")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
