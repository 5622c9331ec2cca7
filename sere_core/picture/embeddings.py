"""Where runs put the scored utterances: one t-SNE panel for each run, as in Fig. 3 of SERE (arXiv 2604.07417).

A panel is coloured by the emotion that its run predicted.  The true emotions of the target stay sealed: a picture could be looked
at before a choice is made.  Squares are S_l, whose labels are known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sere_core.score.records import Record
from sere_registry.errors import Place, error

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

#: one for each class, told apart with any colour vision (Okabe & Ito), darker where white shows through
COLOURS = ("#d55e00", "#0072b2", "#e3a900", "#8b2fc9", "#009e73", "#cc79a7", "#56b4e9", "#6b6b6b")
GREY = "#6b6b6b"


@dataclass(frozen=True)
class Panel:
    """One run's fold.

    Args:
        title: of the panel.
        subtitle: what distinguishes the run, and its score.
        classes: names, in the order of the numbers below.
        points: `[N, D]` embeddings, the scored utterances first.
        classes_of: `[N]`, the prediction, or for S_l the label.
        language: `[N]`.
        scored: how many of N are scored utterances.
    """

    title: str
    subtitle: str
    classes: tuple[str, ...]
    points: NDArray[np.floating[Any]]
    classes_of: NDArray[np.integer[Any]]
    language: NDArray[np.str_]
    scored: int


def read_panel(folder: Path, fold: int, name: str | None = None) -> Panel:
    """A record's panel.

    Raises:
        SereError: T505 if it is no finished record, or has no embeddings of this fold.
    """
    record = Record.read(folder)
    path = folder / "embeddings" / f"fold-{fold}.npz"
    if not path.is_file():
        have = sorted(int(each.stem.removeprefix("fold-")) for each in path.parent.glob("fold-*.npz"))
        hint = f"folds that it has: {', '.join(map(str, have))}" if have else "run it again with --fresh"
        raise error("T505", f"{folder} has no embeddings of fold {fold}", hint, Place(path="--fold"))
    try:
        with np.load(path, allow_pickle=False) as held:
            parts = {key: held[key] for key in held.files}
        points, emotions = [parts["embedding"]], [parts["predicted"]]
        languages = [parts["language"] if "language" in parts else np.full(len(points[0]), "")]
        if "support_embedding" in parts:
            points.append(parts["support_embedding"])
            emotions.append(parts["support_label"])
            languages.append(parts["support_language"])
    except (OSError, ValueError, KeyError) as cause:
        raise error("T505", f"{path} is damaged: {cause}", "run again with --fresh") from cause
    scores = next(each for each in record.scores["folds"] if each["fold"] == fold)
    subtitle = f"UAR {100 * scores['uar']:.1f} %"
    if (scores.get("clustering") or {}).get("silhouette") is not None:
        subtitle += f", silhouette {scores['clustering']['silhouette']:.2f}, {scores['clustering']['k']}-NN purity "
        subtitle += f"{100 * scores['clustering']['knn_purity']:.0f} %"
    return Panel(
        name or record.manifest["name"],
        subtitle,
        tuple(record.scores["classes"]),
        np.concatenate(points),
        np.concatenate(emotions),
        np.concatenate(languages),
        len(points[0]),
    )


def flat(points: NDArray[np.floating[Any]], seed: int = 0) -> NDArray[np.float64]:
    """t-SNE (van der Maaten & Hinton 2008) of standardised embeddings to `[N, 2]`; the same for the same points and seed."""
    from sklearn.manifold import TSNE
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    values = StandardScaler().fit_transform(np.asarray(points, dtype=np.float64))
    if len(points) < 4 or not values.any():  # nothing to map: too few, or all at one place
        return np.pad(values[:, :2], ((0, 0), (0, max(0, 2 - values.shape[1]))))
    perplexity = min(30.0, (len(points) - 1) / 3)
    with threadpool_limits(1):  # threads that wait for one another on a busy machine take ten times as long, and the sum's order matters
        mapped = TSNE(init="pca", perplexity=perplexity, random_state=seed, max_iter=500).fit_transform(values)
    return np.asarray(mapped, dtype=np.float64)


def draw(panels: Sequence[Panel], seed: int = 0) -> Figure:
    """The figure of all panels, with one legend."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(len(panels), 4)
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(3.9 * columns + 0.4, 4.25 * rows + 1.15))
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(
        left=0.012, right=0.988, top=1 - 0.62 / figure.get_figheight(), bottom=1.0 / figure.get_figheight(), wspace=0.05, hspace=0.2
    )
    classes = list(dict.fromkeys(name for panel in panels for name in panel.classes))
    colour = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(classes)}
    for axes, panel in zip(grid.flat, panels, strict=False):
        _panel(axes, panel, flat(panel.points, seed), colour)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    marks = [Line2D([], [], marker="o", linestyle="", markersize=8, color=colour[name], label=name) for name in classes]
    figure.legend(
        handles=marks,
        loc="lower center",
        ncols=len(marks),
        frameon=False,
        fontsize=10.5,
        bbox_to_anchor=(0.5, 0.36 / figure.get_figheight()),
        handletextpad=0.1,
    )
    figure.text(0.5, 0.2 / figure.get_figheight(), _caption(panels), ha="center", va="center", fontsize=9, color=GREY)
    return figure


def _caption(panels: Sequence[Panel]) -> str:
    scored = "/".join(sorted({name for panel in panels for name in panel.language[: panel.scored] if name}))
    known = "/".join(sorted({name for panel in panels for name in panel.language[panel.scored :] if name}))
    text = f"circles: scored utterances{f' ({scored})' if scored else ''}, coloured by the prediction; their true emotions are sealed"
    return text + (f".  squares: labelled utterances ({known}), coloured by label" if known else "")


def _panel(axes: Any, panel: Panel, places: NDArray[np.floating[Any]], colour: dict[str, str]) -> None:
    shades = np.array([colour[panel.classes[int(number)]] for number in panel.classes_of])
    test, support = slice(0, panel.scored), slice(panel.scored, None)
    axes.scatter(*places[test].T, s=20, c=shades[test], alpha=0.8, linewidths=0)
    axes.scatter(*places[support].T, s=52, c=shades[support], marker="s", edgecolors="#222222", linewidths=0.9)
    axes.set_title(panel.title, fontsize=12.5, loc="left", pad=20)
    axes.text(0, 1.025, panel.subtitle, transform=axes.transAxes, fontsize=9, color=GREY, va="bottom")
    axes.set(xticks=[], yticks=[])
    axes.margins(0.06)
    for spine in axes.spines.values():
        spine.set_color("#d0d0d0")
