"""Figures of a comparison's scores: bars by pair, confusion matrices, the critical-difference diagram."""

from __future__ import annotations

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
    """Average ranks, best on top, with bars over rows whose ranks do not differ (after Demšar 2006, figure 1)."""
    count = len(ranking.rows)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, (row, rank) in enumerate(zip(ranking.rows, ranking.average, strict=True)):
            axes.plot([rank], [place], "o", color=COLOURS[1] if row == reference else INK, clip_on=False)
            axes.annotate(f"{rank:.2f}", (rank, place), (6, 0), textcoords="offset points", va="center", fontsize=9)
        for number, group in enumerate(ranking.groups, 1):
            ends = [ranking.rows.index(group[0]) - 0.2, ranking.rows.index(group[-1]) + 0.2]
            axes.plot([count + 0.3 + 0.12 * number * (count - 1)] * 2, ends, color=COLOURS[0], linewidth=4, solid_capstyle="round")
        fits = ranking.critical <= count - 1
        text = f"critical difference {ranking.critical:.2f}{'' if fits else ': longer than the axis'}"
        axes.plot([1, 1 + ranking.critical if fits else count], [-1, -1], color=INK, linewidth=1.6, linestyle="-" if fits else "--")
        axes.text(1, -1.2, text, va="bottom", fontsize=9)
        axes.set_yticks(range(count), [short(row) for row in ranking.rows])
        axes.set_xticks(range(1, count + 1))
        axes.set_ylim(count - 0.5, -1.9)
        axes.set_xlabel("average rank")
        axes.grid(axis="x")

    listed = ", ".join(f"{row} {rank:.2f}" for row, rank in zip(ranking.rows, ranking.average, strict=True))
    alike = "; ".join(" = ".join(group) for group in ranking.groups) or "none"
    alt = f"Average ranks over {len(ranking.blocks)} pairs, 1 is best: {listed}. "
    alt += f"Critical difference {ranking.critical:.2f}. Not different: {alike}."
    return studio.draw("critical-difference", (7.2, 1.4 + 0.27 * count), paint, alt)
