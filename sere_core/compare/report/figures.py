"""Figures of a comparison: scores, ranks, what a training did by its records, and embeddings before and after it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from sere_core.compare.reading import Results
from sere_core.compare.report.studio import COLOURS, DASHES, INK, LINE, MARKERS, PAPER, Picture, Studio, short, shortened
from sere_core.compare.stats.summary import PairSummary, RowSummary, Summary
from sere_core.picture.embeddings import HUGE, flat
from sere_core.score.records import Data, read_arrays

Floats = NDArray[np.float64]
#: one quantity over the epochs: `[runs, epochs]`, a run being a fold of a seed; NaN where it has no value
Curve = Floats
History = Mapping[str, Mapping[str, Curve]]

#: of a line of history
_PARTS = ("losses", "diagnostics", "selection")
#: lines in one panel of losses, panels of diagnostics
LINES, PANELS = 6, 12
#: neighbours in the original space
NEIGHBOURS = 10
#: around labelled utterances; seen on white and on dark, since pixels do not change with the page
RING = "#7c838d"
#: of what has no colour of its own
OTHERS = "#8a9099"
#: speakers with a colour of their own
SPEAKERS = 8
#: the strongest fill of a confusion matrix: on it, text keeps 4.5:1 in light and in dark
FILL = 0.6


def draw_bars(studio: Studio, summary: Summary, pair: str) -> Picture | None:
    """Scores of every row in one pair, with intervals, seeds and chance."""
    found = [(row, row.pairs[pair]) for row in summary.rows if pair in row.pairs]
    if not found:
        return None

    names = shortened([row.row for row, _ in found])

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, (row, cell) in enumerate(found):
            _bar(axes, place, row, cell, row.row == summary.reference)
        chance = 100 * summary.chance[pair]
        axes.axvline(chance, color=INK, linewidth=1, linestyle=":")
        where: dict[str, object] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "bottom"}
        axes.annotate("chance", (chance, 1), (3, 2), fontsize=8, **where)  # type: ignore[arg-type]
        marks = {"ceiling": " *", "topline": " §", "floor": " °"}
        axes.set_yticks(range(len(found)), [name + marks.get(row.role, "") for name, (row, _) in zip(names, found, strict=True)])
        axes.tick_params(left=False)
        axes.invert_yaxis()
        ends = [value for _, cell in found for value in (*cell.by_seed.values(), cell.interval.high if cell.interval else 0.0)]
        axes.set_xlim(0, min(100, 10 * (1 + int(10 * max(ends) + 0.3))))  # past everything that is drawn, in steps of ten
        axes.set_xlabel("UAR in %")
        axes.grid(axis="x")

    listed = "; ".join(f"{row.row} {100 * cell.uar.mean:.1f} %" for row, cell in found)
    size = (4.1 + 0.075 * max(0, max(map(len, names)) - 22), 0.75 + 0.27 * len(found))
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
    runs = [facts for (name, _, _), facts in results.runs.items() if name == row]
    classes = tuple(dict.fromkeys(each for facts in runs for each in facts.classes))
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for facts in runs:
        place = [classes.index(each) for each in facts.classes]
        counts[np.ix_(place, place)] += facts.confusion.sum(axis=0)
    return classes, counts


def draw_confusion(studio: Studio, results: Results, row: str) -> Picture | None:
    """A row's counts over all runs, as shares of what was true."""
    classes, counts = pooled(results, row)
    return draw_matrix(studio, f"confusion-{row}", row, classes, counts) if counts.sum() else None


def draw_matrix(
    studio: Studio,
    name: str,
    what: str,
    classes: Sequence[str],
    counts: NDArray[np.int64],
    caption: str | None = None,
    counted: bool = False,
) -> Picture:
    """Counts `[C, C]` as shares of what was true; `counted`: with the numbers themselves below the shares."""
    support = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(support, 1)
    size = 3.1 + 0.3 * max(0, len(classes) - 5) if not counted else max(3.6, 0.62 * len(classes) + 0.9)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for (true, predicted), value in np.ndenumerate(share):
            fill = to_rgba(COLOURS[0], FILL * float(value))
            axes.add_patch(Rectangle((predicted - 0.48, true - 0.48), 0.96, 0.96, facecolor=fill, edgecolor="none"))
            weight = "bold" if true == predicted else "normal"
            text, offset = f"{100 * value:.0f}", -0.1 if counted else 0
            axes.text(predicted, true + offset, text, ha="center", va="center", fontsize=8.5, fontweight=weight)
            if counted:
                axes.text(predicted, true + 0.24, str(counts[true, predicted]), ha="center", va="center", fontsize=6.5)
        axes.set(xlim=(-0.5, len(classes) - 0.5), ylim=(len(classes) - 0.5, -0.5), aspect="equal")
        names = [name[:9] for name in classes]
        axes.set_xticks(range(len(classes)), names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(classes)), names)
        axes.tick_params(length=0, labelsize=8.5)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")

    recalls = ", ".join(f"{name} {100 * share[i, i]:.0f} %" for i, name in enumerate(classes) if support[i, 0])
    alt = f"Confusion matrix of {what}, in percent of the true class. Recall: {recalls}."
    return studio.draw(name, (size, size), paint, alt, what if caption is None else caption)


def draw_differences(studio: Studio, summary: Summary) -> Picture | None:
    """Every row's difference from the reference, with its interval; filled where it is shown."""
    found = [(each, each.difference, each.interval) for each in summary.verdicts if each.difference is not None]
    if not found:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.axvspan(-summary.margin, summary.margin, color=LINE, alpha=0.35, linewidth=0)
        axes.axvline(0, color=INK, linewidth=1, linestyle=":")
        for place, (verdict, difference, interval) in enumerate(found):
            if interval is not None:
                axes.plot([100 * interval.low, 100 * interval.high], [place] * 2, color=INK, linewidth=1.5, solid_capstyle="butt")
            shown = verdict.shown in ("better", "worse")
            axes.plot(100 * difference, place, "o", color=COLOURS[0], markerfacecolor=COLOURS[0] if shown else PAPER)
        axes.set_yticks(range(len(found)), shortened([verdict.row for verdict, *_ in found], 40))
        axes.tick_params(left=False)
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.set_xlabel(f"points of UAR, row minus {short(summary.reference)}")
        axes.grid(axis="x")

    listed = "; ".join(f"{verdict.row} {100 * difference:+.1f}, {verdict.shown}" for verdict, difference, _ in found)
    size = (7.2, 0.75 + 0.27 * len(found))
    return studio.draw("differences", size, paint, f"Differences from {summary.reference} in points of UAR: {listed}.")


def history(records: Iterable[Sequence[Data]]) -> History:
    """ "losses", "diagnostics" and "selection" of several runs by name, from the lines of their histories; stages stand in order."""
    folds = [fold for record in records for fold in _folds(record)]
    length = max(map(len, folds), default=0)
    found: dict[str, dict[str, Curve]] = {part: {} for part in _PARTS}
    for part, curves in found.items():
        for name in dict.fromkeys(name for fold in folds for line in fold for name in line[part]):
            runs = [[line[part].get(name) for line in fold] + [None] * (length - len(fold)) for fold in folds]
            curve = np.array(runs, dtype=np.float64)  # None becomes NaN
            if not np.isnan(curve).all():
                curves[name] = curve[~np.isnan(curve).all(axis=1)]
    return found


def _folds(lines: Sequence[Data]) -> list[list[dict[str, dict[str, float | None]]]]:
    folds: dict[int, list[dict[str, dict[str, float | None]]]] = {}
    for line in lines:
        scores = {"score": line["selection"]} if "selection" in line else {}
        folds.setdefault(line["fold"], []).append({part: {**line, "selection": scores}[part] for part in _PARTS})
    return list(folds.values())


def over_runs(curve: Curve, low: float = 10, high: float = 90) -> tuple[Floats, Floats, Floats]:
    """The mean over runs and two percentiles, `[epochs]` each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        ends = np.nanpercentile(curve, [low, high], axis=0)
        return np.asarray(np.nanmean(curve, axis=0)), ends[0], ends[1]


def draw_losses(studio: Studio, row: str, curves: Mapping[str, Curve]) -> Picture | None:
    if not curves:
        return None
    shown = dict(list(curves.items())[:LINES])
    logarithmic = all(np.nanmin(curve) > 0 for curve in shown.values())
    more = f" ({len(curves) - LINES} more terms are not drawn)" if len(curves) > LINES else ""
    return _panel(studio, f"losses-{row}", 2.5 + 0.17 * len(shown), shown, f"Losses of {row}", f"{row}{more}", logarithmic)


def draw_diagnostics(
    studio: Studio, row: str, whole: History, by_pair: Mapping[str, History], explain: Callable[[str], str], most: int | None = PANELS
) -> list[Picture]:
    """A panel for each diagnostic, a line for each pair, or for each `part` of `name/part`; `explain` says what it is."""
    panels: dict[str, dict[str, Curve]] = {}
    for name, curve in sorted(whole["diagnostics"].items(), key=lambda item: "/" in item[0]):
        lines = {pair: found["diagnostics"][name] for pair, found in by_pair.items() if name in found["diagnostics"]}
        family, _, part = name.partition("/")
        panels.setdefault(family, {}).update({part: curve} if part else lines)
    pictures = []
    for name, lines in list(panels.items())[:most]:
        shown = dict(list(lines.items())[: len(COLOURS)])
        words = re.sub(r"[._]", " ", name)
        height = 2.4 + 0.1 * len(shown)
        pictures.append(replace(_panel(studio, f"diagnostic-{row}-{name}", height, shown, f"{words} of {row}", words), note=explain(name)))
    return pictures


def over_epochs(axes: Axes, logarithmic: bool) -> None:
    """Epochs to the right, and values on a logarithmic scale where that is wanted."""
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set_xlabel("epoch")
    axes.grid()


def _panel(
    studio: Studio, name: str, height: float, lines: Mapping[str, Curve], what: str, caption: str, logarithmic: bool = False
) -> Picture:
    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for number, (label, curve) in enumerate(lines.items()):
            epochs = np.arange(1, curve.shape[1] + 1)
            mean, low, high = over_runs(curve)
            colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
            mark = "o" if len(epochs) == 1 else None
            axes.plot(epochs, mean, color=colour, linestyle=dash, marker=mark, linewidth=1.7, label=short(label, 28))
            axes.fill_between(epochs, low, high, color=colour, alpha=0.16, linewidth=0)
        over_epochs(axes, logarithmic)
        if any(lines):
            figure.legend(loc="outside lower left", ncols=1 if len(lines) <= 3 else 2, fontsize=8, handlelength=2.6)

    means = {label: over_runs(curve)[0] for label, curve in lines.items()}
    known = {label: mean[~np.isnan(mean)] for label, mean in means.items()}
    ends = ", ".join(f"{label} from {mean[0]:.3g} to {mean[-1]:.3g}" for label, mean in known.items())
    return studio.draw(name, (4.0, height), paint, f"{what} over the epochs: {ends}.", caption)


@dataclass(frozen=True)
class Sample:
    """N utterances before and after training (`[N, D]`); see `sere_core.train.picture`.

    Streams are "labelled", "source" and "test"; `emotion` is the place of the class that was labelled or predicted.
    """

    initial: Floats
    trained: Floats
    stream: NDArray[np.str_]
    language: NDArray[np.str_]
    speaker: NDArray[np.str_]
    emotion: NDArray[np.int64]


def sample(record: Path) -> Sample | None:
    """None where the record has none, or one of diverged training, or too small a one; T505 where it is damaged."""
    data = read_arrays(record, "picture")
    if data is None:
        return None
    wide: dict[str, Floats] = {name: data[name].astype(np.float64) for name in ("initial", "trained")}
    stream, language, speaker = (data[name] for name in ("stream", "language", "speaker"))
    found = Sample(wide["initial"], wide["trained"], stream, language, speaker, data["emotion"].astype(np.int64))
    sound = all((np.abs(array) < HUGE).all() for array in wide.values())
    return found if sound and len(found.emotion) >= 10 else None


def agreements(sample: Sample, classes: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """Share of the ten nearest neighbours with the same property, before and after training and by chance."""
    count = min(NEIGHBOURS, len(sample.emotion) - 1)
    before, after = (
        NearestNeighbors(n_neighbors=count).fit(points).kneighbors(return_distance=False) for points in (sample.initial, sample.trained)
    )

    def shares(words: NDArray[np.str_] | NDArray[np.int64], of: NDArray[np.bool_] | slice = slice(None)) -> tuple[float, float, float]:
        same = words[:, None] == words
        chance = float((same[of].sum(axis=1) - 1).mean() / (len(words) - 1))  # everybody is like himself
        one, other = (float((words[found[of]] == words[of][:, None]).mean()) for found in (before, after))
        return one, other, chance

    found = {f"same {what}": shares(getattr(sample, what)) for what in ("language", "speaker", "emotion")}
    for place in np.unique(sample.emotion):
        found[f"{classes[place]}: same emotion"] = shares(sample.emotion, sample.emotion == place)
    return found


def draw_maps(studio: Studio, title: str, sample: Sample, classes: Sequence[str]) -> list[Picture]:
    """t-SNE maps before and after training, by emotion, language and speaker."""
    maps = {"before training": flat(sample.initial), "after training": flat(sample.trained)}
    emotion = np.array(classes)[sample.emotion]
    colourings = {"emotion": emotion, "language": sample.language, "speaker": sample.speaker}
    return [_map(studio, title, by, words, sample.stream, maps) for by, words in colourings.items() if (words != "").any()]


def _map(studio: Studio, title: str, by: str, words: NDArray[np.str_], stream: NDArray[np.str_], maps: Mapping[str, Floats]) -> Picture:
    values, counts = np.unique(words, return_counts=True)
    order = [str(value) for value in values[np.argsort(-counts, kind="stable")]]
    named = sorted(order if len(order) <= SPEAKERS else order[: SPEAKERS - 1])
    signs = {value: (COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]) for place, value in enumerate(named)}

    def panel(axes: Axes, x: Floats, y: Floats) -> None:
        others = ~np.isin(words, named)
        if others.any():
            axes.scatter(x[others], y[others], 14, OTHERS, alpha=0.55, linewidth=0, rasterized=True)
        for value, (colour, marker) in signs.items():
            mine = words == value
            axes.scatter(x[mine], y[mine], 18, colour, marker=marker, linewidth=0, alpha=0.8, rasterized=True)
            mine &= stream == "labelled"
            axes.scatter(x[mine], y[mine], 44, colour, marker=marker, edgecolors=RING, linewidth=1.2, rasterized=True)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(True)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, 2)
        for axes, (head, points) in zip(panels, maps.items(), strict=True):
            panel(axes, *points.T)
            axes.set_title(head, fontsize=10)
        for value, (colour, marker) in signs.items():
            panels[0].plot([], [], linestyle="", marker=marker, color=colour, label=value or "unknown")
        if len(order) > len(named):
            panels[0].plot([], [], linestyle="", marker="o", color=OTHERS, label=f"{len(order) - len(named)} others")
        figure.legend(loc="outside lower center", ncols=4, fontsize=8, handletextpad=0.2, columnspacing=1.0)

    alt = f"t-SNE maps of {len(words)} utterances of {title}, before and after training, coloured by {by}."
    return studio.draw(f"map-{title}-{by}", (4.0, 2.75), paint, alt, f"by {by}")
