"""Figures of one run: learning curves by fold, speakers, confidence, and maps of the test utterances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sere_core.compare.report.figures import OTHERS, RING, Curve, over_epochs, over_runs
from sere_core.compare.report.studio import COLOURS, INK, MARKERS, Picture, Studio, short
from sere_core.score.calibration import Reliability, RiskCoverage

Floats = NDArray[np.float64]
#: bins of confidence where nothing is scored
BINS = 20


def draw_by_fold(studio: Studio, name: str, curve: Curve, stages: Sequence[str], words: str, note: str = "") -> Picture:
    """A quantity over the epochs, `[folds, epochs]`: each fold and their mean; `stages` has each epoch's."""
    mean, _, _ = over_runs(curve)
    epochs = np.arange(1, curve.shape[1] + 1)
    mark = "o" if len(epochs) == 1 else None

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if len(curve) > 1:
            for place, fold in enumerate(curve):
                axes.plot(epochs, fold, color=OTHERS, marker=mark, linewidth=0.9, alpha=0.75, label="one fold" if place == 0 else None)
        axes.plot(epochs, mean, color=COLOURS[0], marker=mark, linewidth=2, label="mean" if len(curve) > 1 else None)
        begins = [place for place, stage in enumerate(stages) if place and stage != stages[place - 1]]
        for place in begins:
            axes.axvline(place + 0.5, color=INK, linewidth=0.8, linestyle=":")
        for place in [0, *begins] if begins else []:
            where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
            axes.annotate(short(stages[place], 12), (place + 0.5, 1), (3, 2), fontsize=7.5, **where)  # type: ignore[arg-type]
        over_epochs(axes, bool(len(epochs) > 2 and np.nanmin(curve) > 0 and np.nanmax(curve) > 20 * np.nanmin(curve)))
        if len(curve) > 1:
            axes.legend(loc="best", fontsize=8, handlelength=1.6)

    known = mean[~np.isnan(mean)]
    alt = f"{words} over the epochs, mean of {len(curve)} folds: from {known[0]:.3g} to {known[-1]:.3g}."
    return studio.draw(name, (3.9, 2.6), paint, alt, words, note)


def draw_speakers(studio: Studio, names: Sequence[str], uars: Sequence[float], chance: float, mean: float) -> Picture:
    """UAR of every speaker, as they are given."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.barh(range(len(names)), [100 * value for value in uars], 0.68, color=COLOURS[0])
        for value, words, dash in ((chance, "chance", ":"), (mean, "mean", "--")):
            axes.axvline(100 * value, color=INK, linewidth=1, linestyle=dash)
            where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "bottom"}
            axes.annotate(words, (100 * value, 1), (3, 2), fontsize=8, **where)  # type: ignore[arg-type]
        axes.set_yticks(range(len(names)), [short(name) for name in names])
        axes.tick_params(left=False)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(0, min(100, 10 * (1 + int(10 * max(*uars, mean) + 0.3))))
        axes.set_xlabel("UAR in %")
        axes.grid(axis="x")

    listed = ", ".join(f"{name} {100 * value:.0f} %" for name, value in zip(names, uars, strict=True))
    return studio.draw("speakers", (4.2, 0.85 + 0.25 * len(names)), paint, f"UAR by speaker: {listed}.")


def draw_reliability(studio: Studio, found: Reliability) -> Picture:
    """Accuracy against confidence, and how many utterances each bin has."""
    left, width = 100 * found.edges[:-1], 100 * np.diff(found.edges)
    held = found.count > 0

    def paint(figure: Figure) -> None:
        axes, below = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
        axes.bar(left[held], 100 * found.accuracy[held], width[held] * 0.92, align="edge", color=COLOURS[0], label="accuracy")
        gap = 100 * (found.confidence - found.accuracy)
        style = {"facecolor": "none", "edgecolor": COLOURS[1], "hatch": "////", "linewidth": 0.8}
        axes.bar(left[held], gap[held], width[held] * 0.92, 100 * found.accuracy[held], align="edge", label="gap to confidence", **style)
        axes.plot([0, 100], [0, 100], color=INK, linewidth=1, linestyle=":")
        axes.set(xlim=(0, 100), ylim=(0, 100), ylabel="right, in %")
        axes.legend(loc="upper left", fontsize=8)
        axes.grid(axis="y")
        below.bar(left, found.count, width * 0.92, align="edge", color=OTHERS)
        below.set(xlabel="confidence in %", ylabel="n")
        below.yaxis.set_major_locator(MaxNLocator(2, integer=True))

    bins = zip(found.edges[:-1][held], found.accuracy[held], found.count[held], strict=True)
    listed = ", ".join(f"from {100 * edge:.0f} %: {100 * right:.0f} % of {count} right" for edge, right, count in bins)
    alt = f"Reliability diagram by confidence: {listed}."
    note = "Bars that end on the dotted line are calibrated; hatched is the gap to it."
    return studio.draw("reliability", (3.9, 3.6), paint, alt, "Reliability", note)


def draw_risk_coverage(studio: Studio, found: RiskCoverage) -> Picture:
    """The share of wrong predictions among the most confident."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot(100 * found.coverage, 100 * found.risk, color=COLOURS[0], linewidth=1.8, label="most confident first")
        axes.axhline(100 * found.risk[-1], color=INK, linewidth=1, linestyle=":", label="in any order")
        axes.set(xlim=(0, 100), xlabel="kept, in % of the utterances", ylabel="wrong, in %")
        axes.set_ylim(0, min(102.0, max(5.0, 125 * float(found.risk.max()))))
        axes.legend(loc="lower right", fontsize=8)
        axes.grid()

    half = float(np.interp(0.5, found.coverage, found.risk))
    alt = f"Risk-coverage curve: {100 * half:.0f} % of the more confident half are wrong, {100 * found.risk[-1]:.0f} % of all."
    note = f"Area under the curve {found.aurc:.3f}; the further below the dotted line, the better."
    return studio.draw("risk-coverage", (3.9, 3.6), paint, alt, "Risk and coverage", note)


def draw_confidences(studio: Studio, confidence: Floats, least: float) -> Picture:
    """How confident the predictions are, where nobody knows which are right; `least` is 1/C."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.hist(100 * confidence, bins=np.linspace(100 * least, 100, BINS + 1).tolist(), color=COLOURS[0], rwidth=0.92)
        axes.axvline(100 * float(confidence.mean()), color=INK, linewidth=1, linestyle="--")
        axes.set(xlim=(100 * least, 100), xlabel="confidence in %", ylabel="utterances")
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(axis="y")

    low, middle, high = np.percentile(100 * confidence, [10, 50, 90])
    alt = f"Confidence of {len(confidence)} predictions: 10 % are below {low:.0f} %, half below {middle:.0f} %, 90 % below {high:.0f} %."
    return studio.draw("confidences", (3.9, 3.0), paint, alt, "Confidence", "The dashed line is the mean.")


def draw_shares(studio: Studio, shares: Mapping[str, float], n: int) -> Picture:
    """How many utterances each class is predicted for."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        values = [100 * value for value in shares.values()]
        axes.barh(range(len(shares)), values, 0.68, color=COLOURS[0])
        for place, value in enumerate(values):
            axes.annotate(f"{value:.0f} %", (value, place), (4, 0), textcoords="offset points", va="center", fontsize=8.5)
        axes.set_yticks(range(len(shares)), [short(name) for name in shares])
        axes.tick_params(left=False)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.15 * max(values))
        axes.set_xlabel("share of the utterances in %")
        axes.grid(axis="x")

    listed = ", ".join(f"{name} {100 * value:.0f} %" for name, value in shares.items())
    return studio.draw(
        "shares", (3.9, 0.9 + 0.28 * len(shares)), paint, f"Predictions of {n} utterances: {listed}.", "Predictions by class"
    )


def draw_scored(
    studio: Studio, places: Floats, predicted: NDArray[np.str_], truth: NDArray[np.str_], labels: NDArray[np.str_], classes: Sequence[str]
) -> list[Picture]:
    """A t-SNE map `[N, 2]` of a fold's test utterances, then S_l: by prediction, and by truth if known.

    Args:
        places: those of the test utterances and of S_l.
        predicted, truth: of the test utterances; "" where the truth is not known.
        labels: of S_l.
        classes: in their order.
    """
    signs = {name: (COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]) for place, name in enumerate(classes)}
    tests, n = places[: len(predicted)], len(predicted)

    def cloud(axes: Axes, words: NDArray[np.str_], points: Floats, **more: object) -> None:
        for name, (colour, marker) in signs.items():
            x, y = points[words == name].T
            axes.scatter(x, y, c=colour, marker=marker, rasterized=True, **more)  # type: ignore[arg-type]

    def draw(name: str, words: NDArray[np.str_], caption: str, note: str) -> Picture:
        def paint(figure: Figure) -> None:
            axes = figure.add_subplot()
            x, y = tests[words == ""].T
            axes.scatter(x, y, 12, OTHERS, alpha=0.55, linewidth=0, rasterized=True)
            cloud(axes, words, tests, s=20, linewidth=0, alpha=0.8)
            cloud(axes, labels, places[n:], s=46, edgecolors=RING, linewidth=1.3)
            if name == "map-truth":
                wrong = (words != "") & (words != predicted)
                x, y = tests[wrong].T
                axes.scatter(x, y, 46, facecolors="none", edgecolors=INK, linewidth=0.7)
            for each, (colour, marker) in signs.items():
                axes.plot([], [], linestyle="", marker=marker, color=colour, label=short(each, 12))
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(True)
            figure.legend(loc="outside lower center", ncols=4, fontsize=8, handletextpad=0.2, columnspacing=1.0)

        return studio.draw(name, (4.4, 4.4), paint, f"t-SNE map of {n} test utterances, coloured by {caption}.", f"by {caption}", note)

    ringed = "Ringed in grey: the labelled source utterances." if len(labels) else ""
    found = [draw("map-predicted", predicted, "predicted emotion", ringed)]
    if (truth != "").any():
        found.append(
            draw("map-truth", truth, "true emotion", "Circled: predicted wrongly." + " Grey: without a label." * bool((truth == "").any()))
        )
    return found
