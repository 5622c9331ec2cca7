"""Scores of every row in one pair: bars, their intervals, each seed, and chance."""

from __future__ import annotations

from typing import Any

from sere_core.compare.report.paint import COLOURS, INK, LINE, PAPER, Picture, Studio
from sere_core.compare.stats.summary import PairSummary, RowSummary, Summary

#: how much of a row's name stands beside its bar
NAME = 22


def draw_bars(studio: Studio, summary: Summary, pair: str) -> Picture | None:
    """The bars of one pair; None if it has no run."""
    found = [(row, row.pairs[pair]) for row in summary.rows if pair in row.pairs]
    if not found:
        return None
    chance = summary.chance.get(pair)

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        for place, (row, cell) in enumerate(found):
            _bar(axes, place, row, cell, row.row == summary.reference)
        if chance is not None:
            axes.axvline(100 * chance, color=INK, linewidth=1, linestyle=":")
            axes.annotate(
                "chance", (100 * chance, 1), (3, 2), xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=8, va="bottom"
            )
        axes.set_yticks(range(len(found)), [short(row.row) + {"ceiling": " *", "floor": " °"}.get(row.role, "") for row, _ in found])
        axes.tick_params(left=False)
        axes.invert_yaxis()
        axes.set_xlim(0, _reach(found))
        axes.set_xlabel("UAR in %")
        axes.grid(axis="x")

    listed = "; ".join(f"{row.row} {100 * cell.uar.mean:.1f} %" for row, cell in found)
    size = (4.1, 0.75 + 0.27 * len(found))
    return studio.draw(f"bars-{pair}", size, paint, f"UAR in {pair}: {listed}.", pair)


def _bar(axes: Any, place: int, row: RowSummary, cell: PairSummary, reference: bool) -> None:
    colour = COLOURS[1] if reference else COLOURS[0] if row.role == "method" else "#868d98"
    style: dict[str, Any] = {"color": colour, "height": 0.68}
    if row.role == "ceiling":
        style = {"facecolor": LINE, "edgecolor": colour, "hatch": "////", "height": 0.68, "linewidth": 1}
    axes.barh(place, 100 * cell.uar.mean, **style)
    if cell.interval is not None:
        axes.plot([100 * cell.interval.low, 100 * cell.interval.high], [place + 0.14] * 2, color=INK, linewidth=1.5, solid_capstyle="butt")
    seeds = [100 * value for value in cell.by_seed.values()]
    if len(seeds) > 1:
        axes.plot(seeds, [place - 0.16] * len(seeds), "o", markersize=3.6, color=PAPER, markeredgecolor=INK, markeredgewidth=0.7)


def _reach(found: list[tuple[RowSummary, PairSummary]]) -> float:
    """Where the axis ends: past everything that is drawn, in steps of ten."""
    ends = [value for _, cell in found for value in (*cell.by_seed.values(), cell.interval.high if cell.interval else 0.0)]
    return float(min(100, 10 * (1 + int(10 * max(ends) + 0.3))))


def short(name: str, most: int = NAME) -> str:
    """A name that fits: its beginning and its end.

    >>> short("a-row-with-a-name-that-says-everything")
    'a-row-with-…everything'
    """
    if len(name) <= most:
        return name
    head = most // 2
    return f"{name[:head]}…{name[head + 1 - most :]}"
