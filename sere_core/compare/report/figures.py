"""Figures of a comparison's scores: bars by pair, confusion matrices, the critical-difference diagram."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.reading import Results
from sere_core.compare.report.studio import COLOURS, INK, LINE, PAPER, Picture, Studio, short
from sere_core.compare.stats.ranks import Ranking
from sere_core.compare.stats.summary import PairSummary, RowSummary, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: the strongest fill of a confusion matrix: on it, text keeps 4.5:1 in light and in dark
FILL = 0.6
#: rows of text between the bars of two groups in the critical-difference diagram
_STEP = 0.42


def draw_bars(studio: Studio, summary: Summary, pair: str) -> Picture | None:
    """Scores of every row in one pair: bars, their intervals, each seed, and chance; None if the pair has no run."""
    found = [(row, row.pairs[pair]) for row in summary.rows if pair in row.pairs]
    if not found:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, (row, cell) in enumerate(found):
            _bar(axes, place, row, cell, row.row == summary.reference)
        chance = 100 * summary.chance[pair]
        axes.axvline(chance, color=INK, linewidth=1, linestyle=":")
        where: dict[str, object] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "bottom"}
        axes.annotate("chance", (chance, 1), (3, 2), fontsize=8, **where)  # type: ignore[arg-type]
        axes.set_yticks(range(len(found)), [short(row.row) + {"ceiling": " *", "floor": " °"}.get(row.role, "") for row, _ in found])
        axes.tick_params(left=False)
        axes.invert_yaxis()
        ends = [value for _, cell in found for value in (*cell.by_seed.values(), cell.interval.high if cell.interval else 0.0)]
        axes.set_xlim(0, min(100, 10 * (1 + int(10 * max(ends) + 0.3))))  # past everything that is drawn, in steps of ten
        axes.set_xlabel("UAR in %")
        axes.grid(axis="x")

    listed = "; ".join(f"{row.row} {100 * cell.uar.mean:.1f} %" for row, cell in found)
    size = (4.1, 0.75 + 0.27 * len(found))
    return studio.draw(f"bars-{pair}", size, paint, f"UAR in {pair}: {listed}.", pair)


def _bar(axes: Axes, place: int, row: RowSummary, cell: PairSummary, reference: bool) -> None:
    colour = COLOURS[1] if reference else COLOURS[0] if row.role == "method" else "#868d98"
    if row.role == "ceiling":
        axes.barh(place, 100 * cell.uar.mean, 0.68, facecolor=LINE, edgecolor=colour, hatch="////", linewidth=1)
    else:
        axes.barh(place, 100 * cell.uar.mean, 0.68, color=colour)
    if cell.interval is not None:
        ends = [100 * cell.interval.low, 100 * cell.interval.high]
        axes.plot(ends, [place + 0.14] * 2, color=INK, linewidth=1.5, solid_capstyle="butt")
    seeds = [100 * value for value in cell.by_seed.values()]
    if len(seeds) > 1:
        dots = [place - 0.16] * len(seeds)
        axes.plot(seeds, dots, "o", markersize=3.6, color=PAPER, markeredgecolor=INK, markeredgewidth=0.7)


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
    """A row's counts over all folds, seeds and pairs, as shares of what was true; None if it has no run."""
    classes, counts = pooled(results, row)
    if not counts.sum():
        return None
    support = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(support, 1)

    def paint(figure: Figure) -> None:
        from matplotlib.colors import to_rgba
        from matplotlib.patches import Rectangle

        axes = figure.add_subplot()
        for (true, predicted), value in np.ndenumerate(share):
            fill = to_rgba(COLOURS[0], FILL * float(value))
            axes.add_patch(Rectangle((predicted - 0.48, true - 0.48), 0.96, 0.96, facecolor=fill, edgecolor="none"))
            weight = "bold" if true == predicted else "normal"
            axes.text(predicted, true, f"{100 * value:.0f}", ha="center", va="center", fontsize=8.5, fontweight=weight)
        axes.set_xlim(-0.5, len(classes) - 0.5)
        axes.set_ylim(len(classes) - 0.5, -0.5)
        axes.set_aspect("equal")
        names = [name[:9] for name in classes]
        axes.set_xticks(range(len(classes)), names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(classes)), names)
        axes.tick_params(length=0, labelsize=8.5)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")

    recalls = ", ".join(f"{name} {100 * share[i, i]:.0f} %" for i, name in enumerate(classes) if support[i, 0])
    alt = f"Confusion matrix of {row}, in percent of the true class. Recall: {recalls}."
    return studio.draw(f"confusion-{row}", (3.1, 3.1), paint, alt, row)


def draw_critical(studio: Studio, ranking: Ranking, reference: str) -> Picture:
    """The critical-difference diagram (Demšar 2006, figure 1): average ranks, and bars over rows whose ranks do not differ."""
    count = len(ranking.rows)
    left = math.ceil(count / 2)
    groups = [tuple(ranking.average[ranking.rows.index(row)] for row in group) for group in ranking.groups]
    first = 0.75 + _STEP * len(groups)  # rows of text from the axis down to the first name
    depth = first + left * 0.9

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.set_ylim(depth + 0.2, -2.1)
        margin = 0.62 * (count - 1)
        axes.set_xlim(1 - margin, count + margin)
        axes.plot([1, count], [0, 0], color=INK, linewidth=1.2)
        for whole in range(1, count + 1):
            axes.plot([whole, whole], [0, -0.18], color=INK, linewidth=1)
            axes.text(whole, -0.3, str(whole), ha="center", va="bottom", fontsize=9)
        text, fits = f"critical difference {ranking.critical:.2f}", ranking.critical <= count - 1
        end = 1 + ranking.critical if fits else count
        style = {"color": INK, "marker": "|", "markersize": 7} if fits else {"color": LINE, "linestyle": "--"}
        axes.plot([1, end], [-1.35, -1.35], linewidth=1.6, **style)  # type: ignore[arg-type]
        text += "" if fits else ": longer than the axis"
        axes.text((1 + end) / 2, -1.55, text, ha="center", va="bottom", fontsize=9)
        for number, ranks in enumerate(groups):
            y, reach = 0.45 + _STEP * number, 0.012 * (count - 1)
            ends = [min(ranks) - reach, max(ranks) + reach]
            axes.plot(ends, [y, y], color=COLOURS[0], linewidth=4, solid_capstyle="round")
        for index, (row, rank) in enumerate(zip(ranking.rows, ranking.average, strict=True)):
            on_left = index < left
            y = first + 0.9 * (index if on_left else count - 1 - index)
            end = 1 - 0.04 * (count - 1) if on_left else 1 + 1.04 * (count - 1)
            colour = COLOURS[1] if row == reference else INK
            axes.plot([rank, rank, end], [0, y, y], color=colour, linewidth=0.9)
            text = f"{short(row)}  {rank:.2f}" if on_left else f"{rank:.2f}  {short(row)}"
            away = -0.015 * (count - 1) if on_left else 0.015 * (count - 1)
            weight = "bold" if row == reference else "normal"
            axes.text(end + away, y, text, ha="right" if on_left else "left", va="center", fontsize=9, fontweight=weight)

    listed = ", ".join(f"{row} {rank:.2f}" for row, rank in zip(ranking.rows, ranking.average, strict=True))
    alike = "; ".join(" = ".join(group) for group in ranking.groups) or "none"
    alt = f"Average ranks over {len(ranking.blocks)} pairs, 1 is best: {listed}. "
    alt += f"Critical difference {ranking.critical:.2f}. Not different: {alike}."
    return studio.draw("critical-difference", (7.2, 0.55 + 0.235 * (depth + 2.3)), paint, alt)
