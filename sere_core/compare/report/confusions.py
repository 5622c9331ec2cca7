"""Confusion matrices: a row's counts over all folds, seeds and pairs, as shares of what was true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.facts import Results
from sere_core.compare.report.paint import COLOURS, Picture, Studio

#: the strongest fill: on it, text keeps 4.5:1 in light and in dark
FILL = 0.6


def pooled(results: Results, row: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The classes of any pair and the counts `[C, C]` summed over the row's folds, seeds and pairs; pairs may differ in classes."""
    runs = [facts for (name, _, _), facts in results.runs.items() if name == row]
    classes = tuple(dict.fromkeys(each for facts in runs for each in facts.classes))
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for facts in runs:
        place = [classes.index(each) for each in facts.classes]
        counts[np.ix_(place, place)] += facts.confusion.sum(axis=0)
    return classes, counts


def draw_confusion(studio: Studio, results: Results, row: str) -> Picture | None:
    """The matrix of a row; None if it has no run."""
    classes, counts = pooled(results, row)
    if not counts.sum():
        return None
    support = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(support, 1)

    def paint(figure: Any) -> None:
        from matplotlib.colors import to_rgba
        from matplotlib.patches import Rectangle

        axes = figure.add_subplot()
        for true in range(len(classes)):
            for answer in range(len(classes)):
                value = share[true, answer]
                fill = to_rgba(COLOURS[0], FILL * float(value))
                axes.add_patch(Rectangle((answer - 0.48, true - 0.48), 0.96, 0.96, facecolor=fill, edgecolor="none"))
                weight = "bold" if true == answer else "normal"
                axes.text(answer, true, f"{100 * value:.0f}", ha="center", va="center", fontsize=8.5, fontweight=weight)
        axes.set_xlim(-0.5, len(classes) - 0.5)
        axes.set_ylim(len(classes) - 0.5, -0.5)
        axes.set_aspect("equal")
        axes.set_xticks(range(len(classes)), [name[:9] for name in classes], rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(classes)), [name[:9] for name in classes])
        axes.tick_params(length=0, labelsize=8.5)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("answered")
        axes.set_ylabel("true")

    recalls = ", ".join(f"{name} {100 * share[i, i]:.0f} %" for i, name in enumerate(classes) if support[i, 0])
    alt = f"Confusion matrix of {row}, in percent of the true class. Recall: {recalls}."
    return studio.draw(f"confusion-{row}", (3.1, 3.1), paint, alt, row)


def precision(confusion: NDArray[np.int64], classes: tuple[str, ...]) -> Mapping[str, float | None]:
    """How much of what was answered as a class is of it; None where it was never answered."""
    answered = confusion.sum(axis=0)
    return {name: float(confusion[i, i] / answered[i]) if answered[i] else None for i, name in enumerate(classes)}
