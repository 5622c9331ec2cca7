"""The critical-difference diagram (Demšar 2006, figure 1): average ranks, and bars over rows whose ranks do not differ."""

from __future__ import annotations

import math
from typing import Any

from sere_core.compare.report.bars import short
from sere_core.compare.report.paint import COLOURS, INK, LINE, Picture, Studio
from sere_core.compare.stats.summary import Ranking

#: where the axis, the first group's bar and the first name stand, in rows of text below the top
AXIS, STEP = 0.0, 0.42


def draw_critical(studio: Studio, ranking: Ranking, reference: str) -> Picture | None:
    """The diagram; None with fewer than two rows."""
    count = len(ranking.rows)
    if count < 2:
        return None
    left = math.ceil(count / 2)
    groups = [tuple(ranking.average[ranking.rows.index(row)] for row in group) for group in ranking.groups if len(group) > 1]
    first = 0.75 + STEP * len(groups)
    depth = first + left * 0.9

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.set_ylim(depth + 0.2, -2.1)
        margin = 0.62 * (count - 1)
        axes.set_xlim(1 - margin, count + margin)
        axes.plot([1, count], [AXIS, AXIS], color=INK, linewidth=1.2)
        for whole in range(1, count + 1):
            axes.plot([whole, whole], [AXIS, -0.18], color=INK, linewidth=1)
            axes.text(whole, -0.3, str(whole), ha="center", va="bottom", fontsize=9)
        _ruler(axes, ranking, count)
        for number, ranks in enumerate(groups):
            y = 0.45 + STEP * number
            reach = 0.012 * (count - 1)
            axes.plot([min(ranks) - reach, max(ranks) + reach], [y, y], color=COLOURS[0], linewidth=4, solid_capstyle="round")
        for index, (row, rank) in enumerate(zip(ranking.rows, ranking.average, strict=True)):
            on_left = index < left
            y = first + 0.9 * (index if on_left else count - 1 - index)
            end = 1 - 0.04 * (count - 1) if on_left else 1 + 1.04 * (count - 1)
            colour = COLOURS[1] if row == reference else INK
            axes.plot([rank, rank, end], [AXIS, y, y], color=colour, linewidth=0.9)
            text = f"{short(row)}  {rank:.2f}" if on_left else f"{rank:.2f}  {short(row)}"
            away = -0.015 * (count - 1) if on_left else 0.015 * (count - 1)
            weight = "bold" if row == reference else "normal"
            axes.text(end + away, y, text, ha="right" if on_left else "left", va="center", fontsize=9, fontweight=weight)

    listed = ", ".join(f"{row} {rank:.2f}" for row, rank in zip(ranking.rows, ranking.average, strict=True))
    alike = "; ".join(" = ".join(group) for group in ranking.groups if len(group) > 1) or "none"
    alt = f"Average ranks over {len(ranking.blocks)} pairs, 1 is best: {listed}. "
    alt += f"Critical difference {ranking.critical:.2f}. Not different: {alike}."
    return studio.draw("critical-difference", (7.2, 0.55 + 0.235 * (depth + 2.3)), paint, alt)


def _ruler(axes: Any, ranking: Ranking, count: int) -> None:
    """How long the critical difference is; where it is longer than the axis, that is said instead."""
    text = f"critical difference {ranking.critical:.2f}"
    if ranking.critical <= count - 1:
        axes.plot([1, 1 + ranking.critical], [-1.35, -1.35], color=INK, linewidth=1.6, marker="|", markersize=7)
        axes.text(1 + ranking.critical / 2, -1.55, text, ha="center", va="bottom", fontsize=9)
    else:
        axes.plot([1, count], [-1.35, -1.35], color=LINE, linewidth=1.6, linestyle="--")
        axes.text((1 + count) / 2, -1.55, f"{text}: longer than the axis", ha="center", va="bottom", fontsize=9)
