"""Pictures of one run on given axes: confusion matrix, curves over the epochs, reliability diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sere_registry.errors import counted, error, suggest

if TYPE_CHECKING:
    from sere_core.score.calibration import Reliability

COLOUR, GREY = "#0072b2", "#6b6b6b"


def draw_confusion(axes: Axes, matrix: NDArray[np.float64], classes: Sequence[str], shares: bool) -> Axes:
    """A confusion matrix `[C, C]`, rows true, columns predicted; shares are written in percent."""
    axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1 if shares else max(1.0, float(matrix.max())))
    dark = 0.6 * (1 if shares else matrix.max())
    for (true, predicted), value in np.ndenumerate(matrix):
        text, colour = f"{100 * value if shares else value:.0f}", "white" if value > dark else "black"
        axes.text(predicted, true, text, ha="center", va="center", color=colour)
    axes.set_xticks(range(len(classes)), classes, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="predicted", ylabel="true", title=f"utterances{', %' if shares else ''}")
    return axes


def draw_history(axes: Axes, history: Sequence[Mapping[str, Any]], names: Sequence[str] = ()) -> Axes:
    """The mean over folds of losses or diagnostics, and the range of the folds; stages stand one after the other.

    Args:
        axes: where.
        history: the lines of `history.jsonl`.
        names: which; default: all losses.

    Raises:
        SereError: C302 for a name that no line holds.
    """
    folds: dict[int, list[Mapping[str, float | None]]] = {}
    for line in history:
        folds.setdefault(line["fold"], []).append({**line["losses"], **line["diagnostics"]})
    known = list(dict.fromkeys(name for lines in folds.values() for line in lines for name in line))
    for name in names:
        if name not in known:
            raise error("C302", f"the history holds no '{name}'", suggest(name, known, "losses and diagnostics"))
    length = max(map(len, folds.values()), default=0)
    for name in names or dict.fromkeys(name for line in history for name in line["losses"]):
        rows = [[line.get(name) for line in lines] + [None] * (length - len(lines)) for lines in folds.values()]
        values = np.ma.masked_invalid(np.array(rows, dtype=np.float64))
        epochs = np.arange(1, length + 1)
        (drawn,) = axes.plot(epochs, values.mean(axis=0), marker="o" if length == 1 else None, label=name)
        axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=drawn.get_color(), alpha=0.15, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", title=f"mean and range of {counted(len(folds), 'fold')}")
    if axes.lines:
        axes.legend(fontsize="small")
    return axes


def draw_calibration(axes: Axes, found: Reliability) -> Axes:
    """How often predictions are right in each bin of confidence; on the diagonal confidence is what it says."""
    centres = (found.edges[1:] + found.edges[:-1]) / 2
    filled = found.count > 0
    axes.bar(centres[filled], found.accuracy[filled], found.edges[1] - found.edges[0], color=COLOUR, alpha=0.75, edgecolor="white")
    axes.plot([0, 1], [0, 1], linestyle="--", color=GREY, label="perfect calibration")
    for centre, height, count in zip(centres[filled], found.accuracy[filled], found.count[filled], strict=True):
        axes.text(centre, height + 0.01, str(count), ha="center", fontsize="x-small", color=GREY)
    axes.set(xlim=(0, 1), ylim=(0, 1.08), xlabel="confidence", ylabel="share predicted rightly")
    axes.set_title(f"ECE {found.ece:.3f}, {found.count.sum()} utterances; numbers are counts")
    axes.legend(loc="upper left", fontsize="small")
    return axes
