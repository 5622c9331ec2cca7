"""How figures are drawn: one palette, a canvas without global state, and SVG that takes the page's colours.

Ink, lines and paper have three colours that nothing else uses: files keep them, in the page they become CSS variables.
"""

from __future__ import annotations

import base64
import hashlib
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from sere_core.picture.files import save, write
from sere_registry.files import write_atomically

INK, LINE, PAPER = "#1d222b", "#cdd2da", "#fdfefe"

#: after Okabe and Ito (2008), the light ones darkened: at least 3:1 on white and on the page's dark paper
COLOURS = ("#2b7fc4", "#d5640c", "#12946b", "#b861a0", "#a07d08", "#7f6fd1", "#5d8a93", "#c0504d")
#: colour is never the only sign
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<")
DASHES = ("-", "--", "-.", ":")

_STYLE = {
    "text.parse_math": False,  # names come from users: `$` is a dollar sign
    "font.family": "sans-serif",
    "font.size": 10.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Picture:
    """A figure of the page; its name is that of its files and of the element; a note below it says how to read it."""

    name: str
    markup: Markup
    caption: str
    note: str = ""


class Studio:
    """Draws pictures; where there is a folder, each is written into it as PNG and SVG."""

    def __init__(self, folder: Path | None, tell: Callable[[str], None] = lambda name: None) -> None:
        self.folder, self.tell = folder, tell
        self.drawn: set[str] = set()

    def draw(
        self, name: str, size: tuple[float, float], paint: Callable[[Figure], None], alt: str, caption: str = "", note: str = ""
    ) -> Picture:
        """What `paint` draws on a figure of that size in inches; `alt` says what it shows."""
        name = slug(name)
        self.tell(name)
        self.drawn.add(name)
        with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
            figure = Figure(figsize=size, layout="constrained")
            paint(figure)
            if self.folder is None:
                figure.draw_without_rendering()
            else:
                save(figure, self.folder / f"{name}.png", dpi=200, facecolor="white")
            figure.set_layout_engine("none")  # it has found its places
            drawn = BytesIO()
            write(figure, drawn, ".svg", alt, transparent=True)
        if self.folder is not None:
            write_atomically(self.folder / f"{name}.svg", drawn.getvalue())
        return Picture(name, Markup(inline(drawn.getvalue().decode(), name, alt)), caption, note)


def wide_image(name: str, content: bytes, kind: str, caption: str) -> Picture:
    """A picture as wide as the page, in its own frame, which a small screen moves through; `kind` as in image/png."""
    url = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    markup = '<div class="scroll map" tabindex="0" role="region" aria-label="{0}"><img src="{1}" alt="Resonance map: {0}"></div>'
    return Picture(name, Markup(markup).format(caption, url), caption)


def slug(name: str) -> str:
    """A file name that any system takes, and different for different names."""
    plain = re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-")[:60] or "figure"
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def short(name: str, most: int = 22) -> str:
    """A name that fits: its beginning and its end."""
    if len(name) <= most:
        return name
    head = most // 2
    return f"{name[:head]}…{name[head + 1 - most :]}"


def shortened(names: Sequence[str], most: int = 22) -> list[str]:
    """Names that fit; whole where two would be cut alike.

    >>> shortened(["ours balanced, developed here", "ours balanced twice, developed here", "another one, developed elsewhere"])
    ['ours balanced, developed here', 'ours balanced twice, developed here', 'another one… elsewhere']
    """
    cut = [short(name, most) for name in names]
    return [name if cut.count(each) > 1 else each for name, each in zip(names, cut, strict=True)]


def inline(svg: str, name: str, alt: str) -> str:
    """Markup with the page's colours, and ids that no other picture has."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r"<title>.*?</title>", "", svg, count=1, flags=re.DOTALL)  # it would pop up as a tooltip
    head = f'<svg role="img" aria-label="{escape(alt)}" '
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', lambda found: f"{head}{found[1]}>", svg, count=1)
    svg = re.sub(r'(<image [^>]*?)\bid="[^"]*" ?', r"\1", svg)  # alike for alike images, and nothing leads to them
    svg = re.sub(r'\b(id="|xlink:href="#|href="#|url\(#)(?!data:)', lambda found: f"{found[1]}{name}.", svg)
    svg = svg.replace("xlink:href=", "href=")
    for drawn, taken in ((INK, "currentColor"), (LINE, "var(--line)"), (PAPER, "var(--paper)")):
        svg = svg.replace(drawn, taken)
    return re.sub(r"\n\s*", "\n", svg).strip()
