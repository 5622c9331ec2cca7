"""A table in LaTeX: booktabs, best in bold, second underlined, arrows at means that differ from the reference."""

from __future__ import annotations

from sere_core.compare.tables.model import Cell, Table

_ESCAPES = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "±": r"$\pm$",
        "†": r"\textsuperscript{\dag}",
        "✓": r"\checkmark{}",
        "–": "--",
        "−": "$-$",
        "≥": r"$\geq$",
    }
)
_ARROWS = {"better": r"\,$\uparrow$", "worse": r"\,$\downarrow$", "": ""}

#: tables with more columns than this are scaled to the line
_WIDE = 9


def latex(table: Table) -> str:
    """A `table*` with caption and label, and the notes in small print below."""
    count, wide = len(table.columns), len(table.columns) > _WIDE
    body = [rf"\begin{{tabular}}{{@{{}}{''.join('l' if column.text else 'r' for column in table.columns)}@{{}}}}", r"\toprule"]
    body += [_row([_head(column.title) for column in table.columns]), r"\midrule"]
    for number, section in enumerate(table.sections):
        if number:
            body.append(r"\midrule")
        body += [_row([_cell(cell) for cell in line.cells]) for line in section]
    body += [r"\bottomrule", r"\end{tabular}" + ("}" if wide else "")]
    arrows = any(cell.mark for line in table.lines for cell in line.cells)
    notes = [*table.notes, *(["An arrow marks a mean whose difference from the reference is shown."] if arrows else [])]
    packages = ["booktabs", *(["graphicx"] if wide else []), *(["amssymb"] if r"\checkmark" in "".join(body) else [])]
    return "\n".join(
        [
            f"% needs \\usepackage[T1]{{fontenc}} and \\usepackage{{{','.join(packages)}}}; {count} columns",
            r"\begin{table*}[t]",
            r"\centering\small",
            rf"\caption{{{escape(table.caption)}}}",
            rf"\label{{tab:{''.join(each for each in table.name if each.isalnum())}}}",
            *([r"\resizebox{\linewidth}{!}{%"] if wide else []),
            *body,
            r"\par\smallskip\raggedright\scriptsize",
            " ".join(escape(note if note[-1:] in ".:" else f"{note}.") for note in notes),
            r"\end{table*}",
            "",
        ]
    )


def escape(text: str) -> str:
    r"""Text that LaTeX prints as it is.

    >>> print(escape("a_b & 5 % <c> {d}"))
    a\_b \& 5 \% \textless{}c\textgreater{} \{d\}
    """
    return text.translate(_ESCAPES)


def _row(cells: list[str]) -> str:
    first, *rest = cells  # a bracket at the beginning would be taken for an argument of the line end before it
    return f"{'{}' if first[:1] in '[*' and first else ''}{' & '.join([first, *rest])} \\\\"


def _head(title: str) -> str:
    """A pair with an arrow."""
    source, found, target = title.partition(">")
    if not found:
        source, found, target = title.partition("_to_")
    return rf"{escape(source)}$\to${escape(target)}" if found else escape(title)


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if text[:1] in "+-" and text[1:2].isdigit():
        text = f"${text}$"
    if cell.standing:
        text = rf"\textbf{{{text}}}" if cell.standing == "best" else rf"\underline{{{text}}}"
    if cell.spread:
        text += rf"{{\scriptsize\,$\pm$\,{cell.spread}}}"
    return text + _ARROWS[cell.mark] + (rf"\,{{\scriptsize({escape(cell.more)})}}" if cell.more else "")
