"""The map of resonance: two utterances, one above the other, what joins their frames, and the whole of R beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from sere_core.picture.pair import Pair, Voice
from sere_core.picture.strips import STRIPS, Strip

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: colours of a, of b, of secondary text, and of R: dark is resonant, so that lines show on white
COLOURS, GREY, MAP = ("#12657a", "#b4471f"), "#6b6b6b", "magma_r"


def draw(pair: Pair, lines: int = 40) -> Figure:
    """The figure of a pair.

    Args:
        pair: what was found.
        lines: how many of the matches of highlight frames are joined, the most resonant first.
    """
    figure = Figure(figsize=(14.5, 9.2))
    whole = figure.add_gridspec(1, 2, width_ratios=(1.2, 1), left=0.085, right=0.955, top=0.87, bottom=0.075, wspace=0.17)
    span = max(pair.a.seconds, pair.b.seconds)
    matches = _matches(pair, lines)
    norm = Normalize(float(np.quantile(pair.resonance, 0.02)), float(pair.resonance.max()))
    heights = [strip.height for strip in STRIPS]
    rows = whole[0].subgridspec(2 * len(STRIPS) + 1, 1, height_ratios=[*heights, 3.4, *heights[::-1]], hspace=0.16)
    for side, voice in enumerate((pair.a, pair.b)):
        for place, strip in enumerate(STRIPS):
            axes = figure.add_subplot(rows[place if side == 0 else 2 * len(STRIPS) - place])
            _strip(axes, strip, voice, (pair.a, pair.b), side, span, pair)
    _links(figure.add_subplot(rows[len(STRIPS)]), pair, matches, norm, span)
    _heat(figure, whole[1], pair, matches, norm)
    _titles(figure, pair)
    return figure


def _matches(pair: Pair, lines: int) -> NDArray[np.int64]:
    """Highlight frames i of a, the frames j that they hear most, the most resonant of them last: `[n, 2]`."""
    i = np.flatnonzero(pair.shares > 0)
    j = pair.heard[i].argmax(axis=1)
    order = np.argsort(pair.resonance[i, j], kind="stable")
    return np.stack([i, j], axis=1)[order][max(0, len(i) - lines) :]


def _strip(axes: Any, strip: Strip, voice: Voice, both: tuple[Voice, Voice], side: int, span: float, pair: Pair) -> None:
    """One contour of one utterance over time, on the scale that both share."""
    times, values = strip.values(voice)
    pooled = np.concatenate([strip.values(each)[1] for each in both])
    pooled = pooled[np.isfinite(pooled)]
    low, high = (float(pooled.min()), float(pooled.max())) if len(pooled) else (0.0, 1.0)
    room = 0.08 * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)
    axes.set_xlim(0, span)
    if strip.kind == "wave":
        edges = np.linspace(0, len(values), min(len(values), 1400) + 1).astype(int)[:-1]
        tops, floors = np.maximum.reduceat(values, edges), np.minimum.reduceat(values, edges)
        axes.fill_between(times[edges], floors, tops, color=COLOURS[side], linewidth=0.3)
    elif strip.kind == "area":
        axes.fill_between(times, min(0.0, low), values, color=COLOURS[side], alpha=0.25, linewidth=0)
        axes.plot(times, values, color=COLOURS[side], linewidth=1.1)
        if side == 0 and len(pair.shares) == len(times) and (pair.shares == 0).any():
            axes.plot(times, np.where(pair.shares > 0, values, np.nan), ".", color=COLOURS[side], markersize=4)
    else:
        axes.plot(times, values, color=COLOURS[side], linewidth=1.2, solid_capstyle="round")
    for name in ("top", "right", "bottom"):
        axes.spines[name].set_visible(False)
    axes.spines["left"].set_color("#c9c9c9")
    first = strip is STRIPS[0]
    axes.tick_params(axis="y", labelsize=7, length=2, color="#c9c9c9", labelcolor=GREY)
    axes.tick_params(axis="x", length=3 if first else 0, labelsize=8, labelbottom=first and side == 1, labeltop=first and side == 0)
    if first:
        axes.tick_params(axis="x", top=side == 0, bottom=side == 1, color="#c9c9c9", labelcolor=GREY)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g} s"))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    ticks = [value for value in strip.ticks if low - room <= value <= high + room]
    axes.yaxis.set_major_locator(FixedLocator([ticks[0], ticks[-1]]) if ticks else MaxNLocator(2, min_n_ticks=1))
    axes.yaxis.set_major_formatter(FuncFormatter(strip.tick))
    title = strip.title if strip.kind != "area" or pair.weighed else "bursts Σ|d|"
    axes.set_ylabel(f"{title}\n{strip.unit}" if strip.unit else title, rotation=0, ha="right", va="center", fontsize=8, labelpad=30)
    axes.yaxis.set_label_coords(-0.055, 0.5)
    axes.patch.set_alpha(0)


def _links(axes: Any, pair: Pair, matches: NDArray[np.int64], norm: Normalize, span: float) -> None:
    """Lines from frames of a, above, to the frames that they hear most, below."""
    i, j = matches.T
    ends = np.stack([np.stack([pair.a.times[i], np.ones(len(i))], axis=1), np.stack([pair.b.times[j], np.zeros(len(j))], axis=1)], axis=1)
    values = pair.resonance[i, j]
    axes.add_collection(LineCollection(list(ends), array=values, cmap=MAP, norm=norm, linewidths=0.7 + 1.1 * norm(values), alpha=0.85))
    for side, (voice, level) in enumerate(((pair.a, 1.0), (pair.b, 0.0))):
        axes.plot(
            [voice.times[0], voice.times[-1]], [level, level], color=COLOURS[side], linewidth=3, solid_capstyle="round", clip_on=False
        )
    axes.set(xlim=(0, span), ylim=(0, 1))
    axes.set_axis_off()
    count = int((pair.shares > 0).sum())
    kind = "frames" if count == len(pair.shares) else "highlight\nframes of a"
    text = f"{len(i)} most\nresonant\nof {count}\n{kind}" if len(i) < count else f"all {count}\n{kind}"
    axes.text(-0.055, 0.5, text, transform=axes.transAxes, ha="right", va="center", fontsize=8, color=GREY)


def _heat(figure: Figure, cell: Any, pair: Pair, matches: NDArray[np.int64], norm: Normalize) -> None:
    """R, with the bursts of both along its sides."""
    grid = cell.subgridspec(4, 2, height_ratios=(0.09, 1, 0.055, 0.022), width_ratios=(1, 0.09), hspace=0.03, wspace=0.025)
    axes = figure.add_subplot(grid[1, 0])
    edges = [_edges(voice.times) for voice in (pair.b, pair.a)]
    image = axes.pcolormesh(*edges, pair.resonance, cmap=MAP, norm=norm, rasterized=True)
    i, j = np.flatnonzero(pair.shares > 0), pair.heard[pair.shares > 0].argmax(axis=1)
    axes.plot(pair.b.times[j], pair.a.times[i], "o", markersize=3.2, color="white", markeredgecolor="#444444", markeredgewidth=0.5)
    i, j = matches.T
    axes.plot(pair.b.times[j], pair.a.times[i], "o", markersize=4.2, color="#35e0c8", markeredgecolor="#0b3b35", markeredgewidth=0.6)
    axes.set(xlim=(edges[0][0], edges[0][-1]), ylim=(edges[1][0], edges[1][-1]))
    axes.tick_params(labelsize=8, length=3, color="#c9c9c9", labelcolor=GREY)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g} s"))
        axis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel("b", color=COLOURS[1], fontsize=11, fontweight="bold", labelpad=-2)
    axes.set_ylabel("a", color=COLOURS[0], fontsize=11, fontweight="bold", rotation=0, labelpad=8)
    for side, (place, voice) in enumerate((((1, 1), pair.a), ((0, 0), pair.b))):
        if voice.strength is None:
            continue
        margin = figure.add_subplot(grid[place], **({"sharey": axes} if side == 0 else {"sharex": axes}))
        floor = min(0.0, float(voice.strength.min()))
        fill = margin.fill_betweenx if side == 0 else margin.fill_between
        fill(voice.times, floor, voice.strength, color=COLOURS[side], alpha=0.6, linewidth=0)
        margin.set_axis_off()
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(image, cax=figure.add_subplot(grid[3, 0]), orientation="horizontal")
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(labelsize=8, length=2, color="#c9c9c9", labelcolor=GREY)
    bar.set_label("resonance R;  dots: what the highlight frames of a hear most, coloured where a line is drawn", fontsize=8, color=GREY)


def _edges(times: NDArray[np.float32]) -> NDArray[np.float32]:
    """The borders of frames, halfway between their centres."""
    step = float(times[1] - times[0]) if len(times) > 1 else 0.02
    return np.append(times - step / 2, times[-1] + step / 2).astype(np.float32)


def _titles(figure: Figure, pair: Pair) -> None:
    names = {"labelled": "labelled source", "source": "unlabelled source", "target": "unlabelled target", "test": "scored target"}
    for side, (letter, voice) in enumerate((("a", pair.a), ("b", pair.b))):
        about = f"{voice.recording.language}, {names[voice.stream]}"
        y = 0.965 - 0.03 * side
        figure.text(0.012, y, letter, fontsize=13, fontweight="bold", color=COLOURS[side], va="center")
        figure.text(0.028, y, voice.recording.key, fontsize=12, color=COLOURS[side], va="center")
        figure.text(0.415, y, about, fontsize=10, color=GREY, va="center", ha="right")
    figure.text(0.955, 0.965, f"S(a, b) = {pair.similarity:.3f}    S(b, a) = {pair.back:.3f}", fontsize=13, va="center", ha="right")
    figure.text(0.955, 0.935, pair.title, fontsize=10, color=GREY, va="center", ha="right")
