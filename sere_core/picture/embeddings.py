"""Where runs put the scored utterances: one t-SNE panel for each run, as in Fig. 3 of SERE (arXiv 2604.07417).

Circles have the colour of the predicted emotion, since the true ones are sealed; squares are S_l, coloured by label.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sere_core.score.records import Data, Record, read_arrays
from sere_registry.errors import Place, error

#: one for each class, told apart with any colour vision (Okabe & Ito), darker where white shows through
COLOURS = ("#d55e00", "#0072b2", "#e3a900", "#8b2fc9", "#009e73", "#cc79a7", "#56b4e9", "#6b6b6b")
GREY = "#6b6b6b"
#: inches of a panel, and the characters of 9 points that an inch holds
PANEL, CHARACTERS = 3.9, 14
#: what is larger, or not a number, cannot be put on a map
HUGE = np.float64(1e100)  # of float64: float32 has no such number, and would say so


@dataclass(frozen=True)
class Panel:
    """One run's fold: `[N, D]` embeddings, the scored utterances first; the subtitle has its score.

    `emotion` is the position in `classes` of the prediction, or for S_l of the label; `scored` how many of N are scored.
    """

    title: str
    subtitle: str
    classes: Sequence[str]
    points: NDArray[np.float64]
    emotion: NDArray[np.int64]
    language: NDArray[np.str_]
    scored: int


def read_panel(folder: Path, fold: int, name: str | None = None) -> Panel:
    """A record's panel; T505 if it is not finished, or has no such embeddings."""
    record = Record.read(folder)
    parts = read_arrays(record.path, f"fold-{fold}")
    if parts is None:
        have = [str(each["index"] + 1) for each in record.folds["folds"]]
        hint = f"folds that it has: {', '.join(have)}" if fold + 1 > len(have) else "run it again with --fresh"
        raise error("T505", f"{folder} has no embeddings of fold {fold + 1}", hint, Place(path="--fold"))
    kinds = [("embedding", "predicted", "language")]
    if "support_embedding" in parts:
        kinds.append(("support_embedding", "support_label", "support_language"))
    points, emotion, language = (np.concatenate([parts[each] for each in names]) for names in zip(*kinds, strict=True))
    if not (np.abs(points) < HUGE).all():
        raise error("T505", f"the embeddings of fold {fold + 1} in {folder} are not finite", "training has diverged: nothing can be drawn")
    scores: Data = next((each for each in record.scores["folds"] if each["fold"] == fold), {})
    subtitle, found = f"UAR {100 * scores['uar']:.1f} %" if scores else "not scored", scores.get("clustering") or {}
    if None not in (found.get("silhouette"), found.get("knn_purity")):
        subtitle += f", silhouette {found['silhouette']:.2f}, {found['k']}-NN purity {100 * found['knn_purity']:.0f} %"
    return Panel(name or record.manifest["name"], subtitle, record.scores["classes"], points, emotion, language, len(parts["embedding"]))


def flat(points: NDArray[np.floating], seed: int = 0) -> NDArray[np.float64]:
    """t-SNE (van der Maaten & Hinton 2008) of standardised embeddings to `[N, 2]`."""
    values = StandardScaler().fit_transform(np.asarray(points, dtype=np.float64))
    if len(points) < 4 or not values.any():  # nothing to map: too few, or all at one place
        return np.pad(values[:, :2], ((0, 0), (0, max(0, 2 - values.shape[1]))))
    perplexity = min(30.0, (len(points) - 1) / 3)
    with threadpool_limits(1):  # waiting threads cost time, and a sum's order matters
        mapped = TSNE(init="pca", perplexity=perplexity, random_state=seed, max_iter=500).fit_transform(values)
    return np.asarray(mapped, dtype=np.float64)


def draw(panels: Sequence[Panel], seed: int = 0) -> Figure:
    columns = min(len(panels), 4)
    rows, width = math.ceil(len(panels) / columns), PANEL * columns + 0.4
    classes = list(dict.fromkeys(name for panel in panels for name in panel.classes))
    beside = max(1, min(len(classes), int(width * 72 / (7.5 * max(map(len, classes)) + 24))))  # classes in a row of the legend
    caption = textwrap.fill(_caption(panels), int(CHARACTERS * width))
    below = 0.35 + 0.21 * math.ceil(len(classes) / beside) + 0.15 * (caption.count("\n") + 1)
    figure = Figure(figsize=(width, 4.25 * rows + below), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flat
    colour = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(classes)}
    for panel, axes in zip(panels, grid, strict=False):
        _panel(axes, panel, flat(panel.points, seed), colour)
    for axes in grid:  # places without a panel
        axes.set_axis_off()
    marks = [Line2D([], [], marker="o", linestyle="", markersize=8, color=colour[name], label=name) for name in classes]
    style = {"frameon": False, "fontsize": 10.5, "handletextpad": 0.1, "title": caption, "title_fontsize": 9}
    legend = figure.legend(handles=marks, loc="outside lower center", ncols=beside, **style)
    legend.get_title().set_color(GREY)
    return figure


def _caption(panels: Sequence[Panel]) -> str:
    tested = "/".join(sorted({name for panel in panels for name in panel.language[: panel.scored] if name}))
    known = "/".join(sorted({name for panel in panels for name in panel.language[panel.scored :] if name}))
    caption = f"circles: test utterances{f' ({tested})' if tested else ''}, coloured by the prediction; their true emotions are sealed"
    return caption + (f".  squares: labelled utterances ({known}), coloured by label" if known else "")


def _panel(axes: Axes, panel: Panel, places: NDArray[np.float64], colour: Mapping[str, str]) -> None:
    shades = [colour[panel.classes[number]] for number in panel.emotion]
    (x, y), n = places.T, panel.scored
    axes.scatter(x[:n], y[:n], 20, shades[:n], alpha=0.8, linewidths=0)
    axes.scatter(x[n:], y[n:], 52, shades[n:], marker="s", edgecolors="#222222", linewidths=0.9)
    title, subtitle = (textwrap.fill(text, int(PANEL * per_inch)) for text, per_inch in ((panel.title, 10), (panel.subtitle, CHARACTERS)))
    axes.set_title(title, fontsize=12.5, loc="left", pad=8 + 12 * (subtitle.count("\n") + 1))
    axes.text(0, 1.025, subtitle, transform=axes.transAxes, fontsize=9, color=GREY, va="bottom")
    axes.set(xticks=[], yticks=[])
    axes.margins(0.06)
    axes.spines[:].set_color("#d0d0d0")
