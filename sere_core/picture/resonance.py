"""The map of resonance: two utterances, one above the other, what joins their frames, and the whole of R beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sere_core.picture.files import shrink
from sere_core.picture.pair import Pair, Voice

Floats = NDArray[np.floating]

#: colours of a, of b, of secondary text, of lines beside it, and of R: dark is resonant, so that lines show on white
COLOURS, GREY, PALE, MAP, INK = ("#12657a", "#b4471f"), "#6b6b6b", "#c9c9c9", "magma_r", "#444444"
_STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.bottom": False,
    "axes.edgecolor": PALE,
    "xtick.color": PALE,
    "ytick.color": PALE,
    "xtick.labelcolor": GREY,
    "ytick.labelcolor": GREY,
    "xtick.labelsize": 8,
    "ytick.labelsize": 7,
}

#: periodicity from which on f0 is drawn
VOICED = 0.5


class Strip(NamedTuple):
    """One contour of an utterance; NaN for nothing."""

    title: str
    unit: str
    height: float
    values: Callable[[Voice], Floats]


def _wave(voice: Voice) -> Floats:
    return voice.samples / (float(np.abs(voice.samples).max()) or 1.0)


def _pitch(voice: Voice) -> Floats:
    f0 = voice.contours["f0"]
    return np.where((voice.contours["periodicity"] >= VOICED) & (f0 > 0), f0, np.nan)


def _energy(voice: Voice) -> Floats:
    """dB below full scale, no lower than 60 dB below the loudest."""
    level = 20 * np.log10(voice.contours["rms"] + 1e-6)
    return np.asarray(np.maximum(level, level.max() - 60))


def _bursts(voice: Voice) -> Floats:
    return np.full(len(voice.times), np.nan) if voice.strength is None else voice.strength


WAVE = Strip("wave", "", 1.15, _wave)
PITCH = Strip("log f0", "Hz", 1.0, _pitch)
BURSTS = Strip("bursts e", "", 1.15, _bursts)
STRIPS = (
    WAVE,
    PITCH,
    Strip("energy", "dB", 0.85, _energy),
    Strip("spectral tilt", "2nd MFCC", 0.85, lambda voice: voice.contours["mfcc2"]),
    Strip("centroid", "kHz", 0.85, lambda voice: voice.contours["centroid"] / 1000),
    BURSTS,
)


def draw(pair: Pair, lines: int = 40) -> Figure:
    """The figure of a pair, with lines between the most resonant matches."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(14.5, 9.2))
        whole = figure.add_gridspec(1, 2, width_ratios=(1.2, 1), left=0.085, right=0.955, top=0.87, bottom=0.075, wspace=0.17)
        span = max(pair.a.seconds, pair.b.seconds)
        matches = _matches(pair)
        drawn = matches[max(0, len(matches) - lines) :]
        norm = Normalize(float(np.quantile(pair.resonance, 0.02)), float(pair.resonance.max()))
        heights, middle = [strip.height for strip in STRIPS], len(STRIPS)
        rows = whole[0].subgridspec(2 * middle + 1, 1, height_ratios=[*heights, 3.4, *heights[::-1]], hspace=0.16)
        for side in (0, 1):
            for place, strip in enumerate(STRIPS):
                _strip(figure.add_subplot(rows[2 * middle - place if side else place]), strip, pair, side, span)
        _links(figure.add_subplot(rows[middle]), pair, drawn, norm, span)
        _heat(figure, whole[1], pair, matches, drawn, norm)
        _titles(figure, pair)
    return figure


def _matches(pair: Pair) -> NDArray[np.int64]:
    """Highlight frames i of a and the frames j aligned with them, the most resonant last: `[n, 2]`."""
    i = np.flatnonzero(pair.weights > 0)
    j = pair.alignment[i].argmax(axis=1)
    return np.stack([i, j], axis=1)[np.argsort(pair.resonance[i, j], kind="stable")]


def _strip(axes: Axes, strip: Strip, pair: Pair, side: int, span: float) -> None:
    voices, colour = (pair.a, pair.b), COLOURS[side]
    voice, values = voices[side], strip.values(voices[side])
    step = 1 / 16_000 if strip is WAVE else voice.hop
    times = voice.times if strip is BURSTS else np.arange(len(values)) * step
    pooled = np.concatenate([strip.values(each) for each in voices])
    low, high = (float(np.nanmin(pooled)), float(np.nanmax(pooled))) if np.isfinite(pooled).any() else (1.0, 2.0)
    if strip is PITCH:
        axes.set(ylim=(low / 1.1, high * 1.1), yscale="log")
        axes.minorticks_off()
    else:
        room = 0.08 * (high - low) or 1.0
        axes.set(ylim=(low - room, high + room))
    if strip is WAVE:
        edges = np.linspace(0, len(values), min(len(values), 1400) + 1).astype(int)[:-1]
        tops, floors = np.maximum.reduceat(values, edges), np.minimum.reduceat(values, edges)
        axes.fill_between(times[edges], floors, tops, color=colour, linewidth=0.3)
    else:
        axes.plot(times, values, color=colour, linewidth=1.2)
    if strip is BURSTS:
        axes.fill_between(times, min(0.0, low), values, color=colour, alpha=0.25, linewidth=0)
        if side == 0 and (pair.weights == 0).any():
            axes.plot(times, np.where(pair.weights > 0, values, np.nan), ".", color=colour, markersize=4)
    axes.set_xlim(0, span)
    axes.xaxis.set_major_formatter("{x:g} s")
    above, below = strip is WAVE and side == 0, strip is WAVE and side == 1  # the outer edges have the seconds
    axes.tick_params(axis="x", top=above, labeltop=above, bottom=below, labelbottom=below)
    axes.yaxis.set_major_locator(MaxNLocator(2, min_n_ticks=1))
    axes.yaxis.set_major_formatter("" if strip is WAVE else "{x:g}")
    title = "bursts Σ|d|" if strip is BURSTS and not pair.weighed else strip.title
    axes.set_ylabel(f"{title}\n{strip.unit}".strip(), rotation=0, ha="right", va="center", fontsize=8)
    axes.yaxis.set_label_coords(-0.055, 0.5)
    axes.patch.set_alpha(0)


def _links(axes: Axes, pair: Pair, drawn: NDArray[np.int64], norm: Normalize, span: float) -> None:
    """Lines from frames of a to those of b that they are aligned with."""
    ends = [[(pair.a.times[i], 1.0), (pair.b.times[j], 0.0)] for i, j in drawn]
    values = pair.resonance[tuple(drawn.T)]
    axes.add_collection(LineCollection(ends, array=values, cmap=MAP, norm=norm, linewidths=0.7 + 1.1 * norm(values), alpha=0.85))
    for side, voice in enumerate((pair.a, pair.b)):
        ends = [voice.times[0], voice.times[-1]]
        axes.plot(ends, [1 - side, 1 - side], color=COLOURS[side], linewidth=3, solid_capstyle="round", clip_on=False)
    axes.set(xlim=(0, span), ylim=(0, 1))
    axes.set_axis_off()
    count = int((pair.weights > 0).sum())
    kind = "frames" if count == len(pair.weights) else "highlight\nframes of a"
    text = f"{len(drawn)} most\nresonant\nof {count}\n{kind}" if len(drawn) < count else f"all {count}\n{kind}"
    axes.text(-0.055, 0.5, text, transform=axes.transAxes, ha="right", va="center", fontsize=8, color=GREY)


def _heat(figure: Figure, cell: SubplotSpec, pair: Pair, matches: NDArray[np.int64], drawn: NDArray[np.int64], norm: Normalize) -> None:
    grid = cell.subgridspec(2, 1, height_ratios=(1, 0.02), hspace=0.1)
    axes = figure.add_subplot(grid[0])
    image = axes.pcolormesh(pair.b.times, pair.a.times, pair.resonance, cmap=MAP, norm=norm, shading="nearest", rasterized=True)
    for (i, j), size, fill in ((matches.T, 3.2, "white"), (drawn.T, 4.2, "#35e0c8")):
        axes.plot(pair.b.times[j], pair.a.times[i], "o", markersize=size, color=fill, markeredgecolor=INK, markeredgewidth=0.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g} s")
        axis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel("b", color=COLOURS[1], fontsize=11, fontweight="bold", labelpad=-2)
    axes.set_ylabel("a", color=COLOURS[0], fontsize=11, fontweight="bold", rotation=0, labelpad=8)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, cax=figure.add_subplot(grid[1]), orientation="horizontal")
    bar.outline.set_visible(False)  # type: ignore[operator]
    text = "resonance R;  dots: what the highlight frames of a are aligned with most, coloured where a line is drawn"
    bar.set_label(text, fontsize=8, color=GREY)
    shrink(bar.ax.xaxis.label, 0.4)


def _titles(figure: Figure, pair: Pair) -> None:
    names = {"labelled": "labelled source", "source": "unlabelled source", "target": "unlabelled target", "test": "test target"}
    for side, (letter, voice) in enumerate((("a", pair.a), ("b", pair.b))):
        about = f"{voice.recording.language}, {names[voice.stream]}"
        y = 0.965 - 0.03 * side
        figure.text(0.012, y, letter, fontsize=13, fontweight="bold", color=COLOURS[side], va="center")
        shrink(figure.text(0.028, y, voice.recording.key, fontsize=12, color=COLOURS[side], va="center"), 0.42)
        shrink(figure.text(0.62, y, about, fontsize=10, color=GREY, va="center", ha="right"), 0.16)
    similarity = f"S(a, b) = {pair.similarity:.3f}    S(b, a) = {pair.back:.3f}"
    figure.text(0.955, 0.965, similarity, fontsize=13, va="center", ha="right")
    shrink(figure.text(0.955, 0.935, pair.title, fontsize=10, color=GREY, va="center", ha="right"), 0.32)
