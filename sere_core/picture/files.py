"""Where a picture goes, and in which format."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from sere_registry.errors import Place, error
from sere_registry.files import atomic_path

#: suffix -> what keeps the file the same from call to call
FORMATS: dict[str, dict[str, str | None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None},
}


def picture_path(text: str) -> Path:
    """The path of a picture; C302 if its suffix names no format."""
    path = Path(text)
    if path.suffix.lower() not in FORMATS:
        raise error("C302", f"'{text}' is no picture", f"end it in {', '.join(FORMATS)}", Place(path="-o"))
    return path


def shrink(text: Text, room: float) -> Text:
    """A text of a figure in a size in which it is no wider than `room`, a share of the figure; never below 5 points."""
    figure = text.get_figure(root=True)
    assert figure is not None
    renderer = FigureCanvasAgg(figure).get_renderer()
    while (size := float(text.get_fontsize())) > 5 and text.get_window_extent(renderer).width > room * figure.bbox.width:
        text.set_fontsize(max(5.0, 0.95 * size))
    return text


def save(figure: Figure, path: Path, title: str = "", *, dpi: int = 160, **options: str | bool) -> None:
    """Write a figure, with a title for those who cannot see it; X704 or X705."""
    with atomic_path(path) as temporary:
        write(figure, temporary, path.suffix.lower(), title, dpi=dpi, **options)


def write(figure: Figure, file: Path | IO[bytes], form: str, title: str = "", *, dpi: int = 160, **options: str | bool) -> None:
    """The same figure gives the same bytes; `form` is a suffix."""
    metadata = {**FORMATS[form], **({"Title": title} if title else {})}
    with matplotlib.rc_context({"svg.hashsalt": "sere", "svg.fonttype": "none"}):
        figure.savefig(file, format=form[1:], metadata=metadata, dpi=dpi, **options)  # type: ignore[arg-type]
