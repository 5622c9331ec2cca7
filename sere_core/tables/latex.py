"""A table in LaTeX: booktabs, best in bold, second underlined, arrows at means that differ from the reference.

It compiles with pdflatex and T1 fonts, whatever a row is called: commands are escaped, and signs that the fonts lack are spelled.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from sere_core.tables.model import Cell, Column, Table

_ARROWS = {"better": r"\,$\uparrow$", "worse": r"\,$\downarrow$", "": ""}

#: signs in small print on a line of a usual page
_LINE = 100
#: of the smallest page: points of its height, and signs in a line of caption and notes with its points
_PAGE, _CAPTION, _NOTES, _SPACE = 550, (75, 12), (95, 8), 40
#: the smallest share of a page's height that columns are squeezed into
_LEAST = 0.3


def latex(table: Table) -> str:
    """A `table*`, its blocks of columns below each other."""
    arrows = any(cell.mark for line in table.lines for cell in line.cells)
    notes = [*table.notes, *(["An arrow marks a mean whose difference from the reference is shown."] if arrows else [])]
    below = " ".join(note if note[-1:] in ".:" else f"{note}." for note in notes)
    widths = [_width(table, place) for place in range(len(table.columns))]
    blocks = table.blocks(widths, _LINE - sum(widths[: table.stub]), split=False)
    height = _room(table.caption, below) / len(blocks)
    body = [line for number, places in enumerate(blocks) for line in _block(table, places, height, number > 0)]
    packages = ["booktabs", "graphicx", *(["amssymb"] if r"\checkmark" in "".join(body) else [])]
    return "\n".join(
        [
            f"% needs \\usepackage[T1]{{fontenc}} and \\usepackage{{{','.join(packages)}}}; {len(table.columns)} columns",
            r"\begin{table*}[t]",
            r"\centering\small",
            rf"\caption{{{escape(table.caption)}}}",
            rf"\label{{tab:{''.join(each for each in table.name if each.isalnum())}}}",
            r"\par\medskip",
            *body,
            r"\par\smallskip\raggedright\scriptsize",
            escape(below),
            r"\end{table*}",
            "",
        ]
    )


def _room(caption: str, notes: str) -> float:
    taken = _SPACE + sum(points * -(-len(text) // signs) for text, (signs, points) in ((caption, _CAPTION), (notes, _NOTES)))
    return max(_LEAST, 1 - taken / _PAGE)


def _width(table: Table, place: int) -> int:
    """Signs of a column, with the space beside it; deviations are printed smaller."""

    def of(cell: Cell) -> int:
        return len(cell.text) + (1 + len(cell.spread) if cell.spread else 0) + len(cell.more) + bool(cell.mark)

    return 2 + max(len(table.columns[place].title), *(of(line.cells[place]) for line in table.lines), 1)


def _block(table: Table, places: Sequence[int], height: float, below: bool) -> list[str]:
    """One `tabular`, made smaller where it is wider or higher than its share."""
    columns = [table.columns[place] for place in places]
    lines = [rf"\begin{{tabular}}{{@{{}}{''.join('l' if column.text else 'r' for column in columns)}@{{}}}}", r"\toprule"]
    lines += [_row([_head(column) for column in columns])]
    for section in table.sections:
        rows = [_row([_cell(line.cells[place]) for place in places]) for line in section if table.says(line, places)]
        lines += [r"\midrule", *rows] if rows else []
    lines += [r"\bottomrule", r"\end{tabular}"]
    return [
        *([r"\par\medskip"] if below else []),
        r"\sbox8{%",
        *lines[:-1],
        lines[-1] + "}",
        r"\ifdim\wd8>\linewidth\sbox8{\resizebox{\linewidth}{!}{\usebox8}}\fi",
        rf"\ifdim\dimexpr\ht8+\dp8\relax>{height:.2f}\textheight\sbox8{{\resizebox*{{!}}{{{height:.2f}\textheight}}{{\usebox8}}}}\fi",
        r"\usebox8",
    ]


def _row(cells: list[str]) -> str:
    first, *rest = cells  # a bracket at the beginning would be taken for an argument of the line end before it
    return f"{'{}' if first[:1] in '[*' and first else ''}{' & '.join([first, *rest])} \\\\"


def _head(column: Column) -> str:
    """A pair with an arrow."""
    source, found, target = column.title.replace("_to_", ">").partition(">")
    return rf"{escape(source)}$\to${escape(target)}" if found else escape(column.title)


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if text[:1] in "+-" and text[1:2].isdigit():
        text = f"${text}$"
    if cell.standing:
        text = rf"\textbf{{{text}}}" if cell.standing == "best" else rf"\underline{{{text}}}"
    if cell.spread:
        text += rf"{{\scriptsize\,$\pm$\,{cell.spread}}}"
    return text + _ARROWS[cell.mark] + (rf"\,{{\scriptsize({escape(cell.more)})}}" if cell.more else "")


# names as LaTeX prints them

_GREEK = (
    "α alpha β beta γ gamma δ delta ε varepsilon ζ zeta η eta θ theta ι iota κ kappa λ lambda μ mu ν nu ξ xi π pi ρ rho ς varsigma "
    "σ sigma τ tau υ upsilon φ varphi χ chi ψ psi ω omega Γ Gamma Δ Delta Θ Theta Λ Lambda Ξ Xi Π Pi Σ Sigma Υ Upsilon Φ Phi Ψ Psi Ω Omega"
)
_NAMED = dict(re.findall(r"(\S) (\S+)", _GREEK)) | {
    "→": "to", "←": "leftarrow", "↑": "uparrow", "↓": "downarrow", "±": "pm", "×": "times", "·": "cdot", "≤": "leq", "≥": "geq",
    "≠": "neq", "≈": "approx", "∼": "sim", "∈": "in", "∪": "cup", "∩": "cap", "∅": "emptyset", "∇": "nabla", "∂": "partial",
    "∞": "infty", "∑": "sum", "√": "surd", "∥": "parallel", "⊥": "perp", "⊕": "oplus", "⊗": "otimes", "ℓ": "ell", "µ": "mu",
}  # fmt: skip
#: capitals that are Latin ones to the eye
_LOOKALIKES = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True))
_DIGITS = "".join(map(str, range(10)))
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", f"{_DIGITS}+-", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋", f"{_DIGITS}+-", strict=True))

_ESCAPES = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "†": r"\textsuperscript{\dag}",
    "✓": r"\checkmark{}",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "−": "$-$",
    "‑": "-",
    "\u00a0": "~",
    **{sign: rf"$\{name}$" for sign, name in _NAMED.items()},
    **_LOOKALIKES,
    **{sign: f"$^{{{digit}}}$" for sign, digit in _RAISED.items()},
    **{sign: f"$_{{{digit}}}$" for sign, digit in _LOWERED.items()},
}
#: what pdflatex prints of Unicode by itself, beside letters
_KNOWN = frozenset("¡¢£¤¥¦§¨©ª«¬®¯°´¶¸º»¼½¾¿‘’‚“”„•‰‹›€™ȘșȚț")
#: Latin letters that T1 has no sign for
_LACKING = frozenset("ĦħĸĿŀŉŦŧſ")


def escape(text: str) -> str:
    """Text that LaTeX prints as it is; a sign that its usual fonts lack becomes its number in Unicode."""
    apart = re.split(r"(?<=-)(?=-)|(?<=')(?=')|(?<=,)(?=,)", unicodedata.normalize("NFC", text))  # what LaTeX would join to one sign
    return "{}".join("".join(map(_sign, part)) for part in apart)


def _sign(sign: str) -> str:
    letter = "À" <= sign <= "ſ" and sign not in _LACKING  # of Latin-1 or Latin Extended-A
    known = sign.isascii() or sign in _KNOWN or letter
    return _ESCAPES.get(sign, sign if known else rf"\texttt{{U+{ord(sign):04X}}}")
