"""Learning curves: losses of every row, and the diagnostics of one row by pair; mean and band over folds and seeds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from sere_core.compare.report.bars import short
from sere_core.compare.report.evidence import Curve, History
from sere_core.compare.report.paint import COLOURS, DASHES, Picture, Studio

#: lines in one panel, panels of diagnostics
LINES, PANELS = 6, 12


def draw_losses(studio: Studio, row: str, curves: Mapping[str, Curve]) -> Picture | None:
    """All terms of a row's losses in one panel; None if its records have none."""
    shown = dict(list(curves.items())[:LINES])
    if not shown:
        return None

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        positive = True
        for number, (name, curve) in enumerate(shown.items()):
            _line(axes, number, name, curve)
            positive = positive and bool(np.nanmin(curve.values) > 0)
        if positive:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
        _finish(axes, figure, len(shown))

    more = f" ({len(curves) - LINES} more terms are not drawn)" if len(curves) > LINES else ""
    ends = ", ".join(f"{name} from {_first(curve):.3g} to {_last(curve):.3g}" for name, curve in shown.items())
    return studio.draw(f"losses-{row}", (4.0, 2.5 + 0.17 * len(shown)), paint, f"Losses of {row} over the epochs: {ends}.", f"{row}{more}")


def draw_diagnostics(studio: Studio, row: str, by_pair: Mapping[str, History]) -> list[Picture]:
    """One panel for each diagnostic of a row, a line for each pair.  `name/part` share a panel, over all pairs."""
    names = list(dict.fromkeys(name for found in by_pair.values() for name in found.diagnostics))
    plain = [name for name in names if "/" not in name]
    families: dict[str, list[str]] = {}
    for name in names:
        if "/" in name:
            families.setdefault(name.partition("/")[0], []).append(name)
    panels: list[tuple[str, dict[str, Curve]]] = [
        (name, {pair: found.diagnostics[name] for pair, found in by_pair.items() if name in found.diagnostics}) for name in plain
    ]
    for family, members in families.items():
        panels.append((family, {each.partition("/")[2]: _joined(each, by_pair) for each in members}))
    return [_panel(studio, row, name, lines) for name, lines in panels[:PANELS]]


def _panel(studio: Studio, row: str, name: str, lines: Mapping[str, Curve]) -> Picture:
    shown = dict(list(lines.items())[: len(COLOURS)])

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        for number, (label, curve) in enumerate(shown.items()):
            _line(axes, number, label, curve)
        _finish(axes, figure, len(shown))

    ends = ", ".join(f"{label} from {_first(curve):.3g} to {_last(curve):.3g}" for label, curve in shown.items())
    words = re.sub(r"[._]", " ", name)
    return studio.draw(
        f"diagnostic-{row}-{name}", (4.0, 2.4 + 0.1 * len(shown)), paint, f"{words} of {row} over the epochs: {ends}.", words
    )


def _joined(name: str, by_pair: Mapping[str, History]) -> Curve:
    """The runs of all pairs together."""
    runs = [found.diagnostics[name].values for found in by_pair.values() if name in found.diagnostics]
    length = max(each.shape[1] for each in runs)
    return Curve(np.concatenate([np.pad(each, ((0, 0), (0, length - each.shape[1])), constant_values=np.nan) for each in runs]))


def _line(axes: Any, number: int, label: str, curve: Curve) -> None:
    epochs = np.arange(1, curve.values.shape[1] + 1)
    low, high = curve.band()
    colour = COLOURS[number % len(COLOURS)]
    mark = "o" if len(epochs) == 1 else None
    axes.plot(epochs, curve.mean, color=colour, linestyle=DASHES[number % len(DASHES)], marker=mark, linewidth=1.7, label=short(label, 28))
    axes.fill_between(epochs, low, high, color=colour, alpha=0.16, linewidth=0)


def _finish(axes: Any, figure: Any, lines: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set_xlabel("epoch")
    axes.grid()
    figure.legend(loc="outside lower left", ncols=1 if lines <= 3 else 2, fontsize=8, handlelength=2.6)


def _first(curve: Curve) -> float:
    values = curve.mean[~np.isnan(curve.mean)]
    return float(values[0])


def _last(curve: Curve) -> float:
    values = curve.mean[~np.isnan(curve.mean)]
    return float(values[-1])
