"""Names as LaTeX prints them: what it reads as a command is escaped, and what its fonts lack is spelled.

Tables must go through pdflatex with the fonts that every installation has (T1), whatever a row is called: one sign that a font lacks
stops the whole paper.
"""

from __future__ import annotations

import re
import unicodedata

_GREEK = (
    "α alpha β beta γ gamma δ delta ε varepsilon ζ zeta η eta θ theta ι iota κ kappa λ lambda μ mu ν nu ξ xi π pi ρ rho ς varsigma "
    "σ sigma τ tau υ upsilon φ varphi χ chi ψ psi ω omega Γ Gamma Δ Delta Θ Theta Λ Lambda Ξ Xi Π Pi Σ Sigma Υ Upsilon Φ Phi Ψ Psi Ω Omega"
)
_NAMED = dict(re.findall(r"(\S) (\S+)", _GREEK)) | {
    "→": "to", "←": "leftarrow", "↔": "leftrightarrow", "⇒": "Rightarrow", "⇐": "Leftarrow", "⇔": "Leftrightarrow", "↑": "uparrow",
    "↓": "downarrow", "±": "pm", "∓": "mp", "×": "times", "÷": "div", "·": "cdot", "⋅": "cdot", "∗": "ast", "∘": "circ", "≤": "leq",
    "≥": "geq", "≠": "neq", "≈": "approx", "≡": "equiv", "∼": "sim", "∝": "propto", "≪": "ll", "≫": "gg", "∈": "in", "∉": "notin",
    "⊂": "subset", "⊆": "subseteq", "∪": "cup", "∩": "cap", "∅": "emptyset", "∀": "forall", "∃": "exists", "∇": "nabla", "∂": "partial",
    "∞": "infty", "∑": "sum", "∏": "prod", "∫": "int", "√": "surd", "∥": "parallel", "⊥": "perp", "⊕": "oplus", "⊗": "otimes",
    "ℓ": "ell", "ϕ": "phi", "ϵ": "epsilon", "ϑ": "vartheta", "µ": "mu",
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
#: what pdflatex prints of Unicode by itself, beside the letters of `_letter`
_KNOWN = frozenset("¡¢£¤¥¦§¨©ª«¬®¯°´¶¸º»¼½¾¿‘’‚“”„•‰‹›€™")
#: Latin letters that T1 has no sign for
_LACKING = frozenset("ĦħĸĿŀŉŦŧſ")


def escape(text: str) -> str:
    r"""Text that LaTeX prints as it is; a sign that its usual fonts lack becomes its number in Unicode.

    >>> print(escape("a_b & 5 % <c> {d} --set"))
    a\_b \& 5 \% \textless{}c\textgreater{} \{d\} -{}-set
    >>> print(escape("λ→∞ é x² 中"))
    $\lambda$$\to$$\infty$ é x$^{2}$ \texttt{U+4E2D}
    """
    apart = re.split(r"(?<=-)(?=-)|(?<=')(?=')|(?<=,)(?=,)", unicodedata.normalize("NFC", text))  # what LaTeX would join to one sign
    return "{}".join("".join(map(_sign, part)) for part in apart)


def _sign(sign: str) -> str:
    if sign in _ESCAPES:
        return _ESCAPES[sign]
    return sign if sign.isascii() or sign in _KNOWN or _letter(sign) else rf"\texttt{{U+{ord(sign):04X}}}"


def _letter(sign: str) -> bool:
    """A letter of Latin-1 or Latin Extended-A, or one of the four Romanian ones."""
    return ("À" <= sign <= "ſ" and sign not in _LACKING) or sign in "ȘșȚț"
