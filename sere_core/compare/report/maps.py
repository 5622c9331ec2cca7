"""Embeddings before and after training: two t-SNE maps of the same utterances, and numbers that do not hang on a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.report.evidence import Floats, Sample
from sere_core.compare.report.paint import COLOURS, MARKERS, Picture, Studio

#: neighbours in the original space
NEIGHBOURS = 10
#: around labelled utterances; seen on white and on dark, since pixels do not change with the page
RING = "#7c838d"
#: speakers with a colour of their own
SPEAKERS = 8


@dataclass(frozen=True)
class Agreement:
    """How often one of the ten nearest neighbours shares a property, before and after training, and by chance."""

    what: str
    before: float
    after: float
    chance: float


def draw_maps(studio: Studio, title: str, sample: Sample, classes: Sequence[str]) -> list[Picture]:
    """Three pictures, coloured by emotion, by language and by speaker; each shows before and after side by side."""
    before, after = flatten(sample.initial), flatten(sample.trained)
    emotions = np.array([classes[place] for place in sample.emotion])
    known = [(name, words) for name, words in _colourings(sample, emotions) if len(set(words.tolist()) - {""}) > 0]
    return [_draw(studio, title, name, words, sample.stream, before, after) for name, words in known]


def _colourings(sample: Sample, emotions: NDArray[np.str_]) -> list[tuple[str, NDArray[np.str_]]]:
    return [("emotion", emotions), ("language", sample.language), ("speaker", sample.speaker)]


def flatten(points: Floats) -> Floats:
    """t-SNE (van der Maaten and Hinton, 2008) of standardised points `[N, D]` -> `[N, 2]`, begun at the principal components."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    spread = points.std(axis=0)
    scaled = (points - points.mean(axis=0)) / np.where(spread > 0, spread, 1)
    if not scaled.any():
        return np.zeros((len(points), 2))
    perplexity = min(30.0, (len(points) - 1) / 3)
    with threadpool_limits(1):  # threads that wait for one another on a busy machine take ten times as long, and the sum's order matters
        mapped: Floats = TSNE(init="pca", perplexity=perplexity, random_state=0, max_iter=500).fit_transform(scaled)
    return mapped


def agreements(sample: Sample, classes: Sequence[str]) -> list[Agreement]:
    """Neighbours of the same language, of the same speaker, of the same emotion, and of each emotion, in the original space."""
    before, after = (_neighbours(points) for points in (sample.initial, sample.trained))
    rows = []
    for what, words in (("language", sample.language), ("speaker", sample.speaker), ("emotion", sample.emotion)):
        everyone = np.ones(len(words), dtype=bool)
        rows.append(_agreement(f"same {what}", words, everyone, before, after))
    for place in np.unique(sample.emotion):
        rows.append(_agreement(f"{classes[place]}: same emotion", sample.emotion, sample.emotion == place, before, after))
    return rows


def _neighbours(points: Floats) -> NDArray[np.intp]:
    from sklearn.neighbors import NearestNeighbors

    count = min(NEIGHBOURS, len(points) - 1)
    found: NDArray[np.intp] = NearestNeighbors(n_neighbors=count).fit(points).kneighbors(return_distance=False)
    return found


def _agreement(what: str, words: NDArray[Any], asked: NDArray[np.bool_], before: NDArray[np.intp], after: NDArray[np.intp]) -> Agreement:
    same = words[:, None] == words[None, :]
    np.fill_diagonal(same, False)
    chance = float(same[asked].sum(axis=1).mean() / (len(words) - 1))
    shares = [float((words[found[asked]] == words[asked][:, None]).mean()) for found in (before, after)]
    return Agreement(what, shares[0], shares[1], chance)


def _draw(studio: Studio, title: str, by: str, words: NDArray[np.str_], stream: NDArray[np.str_], before: Floats, after: Floats) -> Picture:
    values, counts = np.unique(words, return_counts=True)
    order = [str(value) for value in values[np.argsort(-counts, kind="stable")]]
    named = sorted(order if len(order) <= SPEAKERS else order[: SPEAKERS - 1])

    def paint(figure: Any) -> None:
        panels = figure.subplots(1, 2)
        for axes, points, head in zip(panels, (before, after), ("before training", "after training"), strict=True):
            others = ~np.isin(words, named)
            if others.any():
                axes.scatter(*points[others].T, s=14, color="#8a9099", alpha=0.55, linewidth=0, rasterized=True)
            for number, value in enumerate(named):
                mine = words == value
                labelled = mine & (stream == "labelled")
                style: dict[str, Any] = {
                    "color": COLOURS[number % len(COLOURS)],
                    "marker": MARKERS[number % len(MARKERS)],
                    "rasterized": True,
                }
                axes.scatter(*points[mine].T, s=18, linewidth=0, alpha=0.8, **style)
                axes.scatter(*points[labelled].T, s=44, edgecolors=RING, linewidth=1.2, **style)
            axes.set_title(head, fontsize=10)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(True)
        for number, value in enumerate(named):
            mark = MARKERS[number % len(MARKERS)]
            panels[0].plot([], [], linestyle="", marker=mark, color=COLOURS[number % len(COLOURS)], label=value or "unknown")
        if len(order) > len(named):
            panels[0].plot([], [], linestyle="", marker="o", color="#8a9099", label=f"{len(order) - len(named)} others")
        figure.legend(loc="outside lower center", ncols=4, fontsize=8, handletextpad=0.2, columnspacing=1.0)

    alt = f"t-SNE maps of {len(words)} utterances of {title}, before and after training, coloured by {by}."
    return studio.draw(f"map-{title}-{by}", (4.0, 2.75), paint, alt, f"by {by}")
