"""Tables in LaTeX go through pdflatex and fit the page, whatever rows are called; names come out as they are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sere_core.compare.plan import Row
from sere_core.compare.reading import read_results
from sere_core.compare.tables import SHAPES, build
from sere_core.tables import render
from sere_core.tables.latex import escape
from tests.compare.made_up import make_comparison

SIX = ("emodb>emovo", "emodb>ravdess", "emovo>emodb", "emovo>ravdess", "ravdess>emodb", "ravdess>emovo")
ODD = (
    "source-only", "sere", "sere -L_PR", "sere -L_PR -L_DR", "50 % & #1 {x}", "a^b~c\\d $x$ `y` \"z\"", "[bracket] *star* --set a=b",
    "λ=0.5, τ→∞, α≤½, β≠µ, x₁²", "Übergröße, naïve, łódź, ÿ", "中文 ой ħ é\N{COMBINING RING BELOW}", "ceiling",
)  # fmt: skip
ENCODERS = ("sere", "wav2vec2>hubert_base", "whisper/wav2vec2", "wavlm>whisper", "ceiling")

#: what a log says of what a reader would see
BAD = re.compile(r"^(!.*|Overfull \\[hv]box.*|Missing character.*|LaTeX Warning: Float too large.*|.*undefined.*)$", re.M)

pytestmark = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex (Debian: texlive-latex-recommended)")


def compiled(folder: Path, tables: list[str], options: str = "") -> str:
    """The log of an article with these tables; no PDF is made, so that no fonts are rendered."""
    packages = {name for text in tables for name in re.findall(r"\\usepackage\{(.*?)\}", text)[0].split(",")}
    head = rf"\documentclass[{options}]{{article}}\usepackage[T1]{{fontenc}}\usepackage{{{','.join(sorted(packages))}}}"
    pages = "\n\\clearpage\n".join(tables)
    (folder / "paper.tex").write_text(f"{head}\n\\begin{{document}}\n{pages}\n\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-draftmode", "-interaction=nonstopmode", "-no-shell-escape", "paper.tex"]
    subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    return (folder / "paper.log").read_text(encoding="utf-8", errors="replace")


@pytest.mark.parametrize("options", ["", "twocolumn,a4paper"])
@pytest.mark.parametrize("rows", [ODD, ("source-only", *ENCODERS)], ids=["odd names", "encoders"])
def test_every_table_compiles_and_fits_the_page(tmp_path: Path, rows: tuple[str, ...], options: str) -> None:
    named = [Row(name, "floor" if name == "source-only" else "ceiling" if name == "ceiling" else "method", ("losses",)) for name in rows]
    missing = [(rows[2], SIX[0], 0), (rows[3], SIX[1], 1)]
    make_comparison(tmp_path, named, SIX, 2, folds=2, speakers=6, per_class=4, missing=missing, reference="sere")
    results = read_results(tmp_path)
    log = compiled(tmp_path, [render(build(results, shape), "latex") for shape in SHAPES], options)
    assert BAD.findall(log) == []
    assert "[6" in log, "a page for each shape"


def test_no_printable_sign_stops_pdflatex(tmp_path: Path) -> None:
    known = [chr(code) for code in (*range(0x20, 0x530), *range(0x2010, 0x2300), *range(0x1E00, 0x1F00), 0x4E2D, 0xFFFD, 0x1F600)]
    signs = [sign for sign in known if sign.isprintable()]
    text = "\n\n".join(f"x{escape(sign)}x" for sign in signs)
    head = "% needs \\usepackage[T1]{fontenc} and \\usepackage{booktabs,amssymb}; 0 columns\n"
    assert BAD.findall(compiled(tmp_path, [head + text])) == []
