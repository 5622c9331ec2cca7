"""What records say of a training: curves of losses and diagnostics, and embeddings before and after it, with their figures."""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.report.studio import COLOURS, DASHES, MARKERS, Picture, Studio, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
#: one quantity over the epochs: `[runs, epochs]`, a run being a fold of a seed; NaN where it has no value
Curve = Floats
History = Mapping[str, Mapping[str, Curve]]

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


def history(records: Iterable[Path]) -> History:
    """The curves of several runs of one row, "losses" and "diagnostics" by name; what cannot be read is left out.

    The epochs of a recipe's stages stand one after the other; a stage that has no such term leaves a gap.
    """
    folds = [fold for record in records for fold in _folds(record)]
    length = max(map(len, folds), default=0)
    found: dict[str, dict[str, Curve]] = {"losses": {}, "diagnostics": {}}
    for part, curves in found.items():
        for name in dict.fromkeys(name for fold in folds for line in fold for name in line[part]):
            runs = [[line[part].get(name) for line in fold] + [None] * (length - len(fold)) for fold in folds]
            curve = np.array(runs, dtype=np.float64)  # None becomes NaN
            if not np.isnan(curve).all():
                curves[name] = curve[~np.isnan(curve).all(axis=1)]
    return found


def _folds(record: Path) -> list[list[dict[str, dict[str, float | None]]]]:
    folds: dict[int, list[dict[str, dict[str, float | None]]]] = {}
    try:
        for text in (record / "history.jsonl").read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            folds.setdefault(line["fold"], []).append({part: line[part] for part in ("losses", "diagnostics")})
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return list(folds.values())


def over_runs(curve: Curve, low: float = 10, high: float = 90) -> tuple[Floats, Floats, Floats]:
    """The mean over runs and two percentiles, `[epochs]` each; an epoch without a value stays NaN."""
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


def draw_diagnostics(studio: Studio, row: str, whole: History, by_pair: Mapping[str, History]) -> list[Picture]:
    """One panel for each diagnostic of a row, a line for each pair.  `name/part` share a panel, over all pairs."""
    panels: dict[str, dict[str, Curve]] = {}
    for name, curve in sorted(whole["diagnostics"].items(), key=lambda item: "/" in item[0]):
        lines = {pair: found["diagnostics"][name] for pair, found in by_pair.items() if name in found["diagnostics"]}
        family, _, part = name.partition("/")
        panels.setdefault(family, {}).update({part: curve} if part else lines)
    pictures = []
    for name, lines in list(panels.items())[:PANELS]:
        shown = dict(list(lines.items())[: len(COLOURS)])
        words = re.sub(r"[._]", " ", name)
        height = 2.4 + 0.1 * len(shown)
        pictures.append(_panel(studio, f"diagnostic-{row}-{name}", height, shown, f"{words} of {row}", words))
    return pictures


def _panel(
    studio: Studio, name: str, height: float, lines: Mapping[str, Curve], what: str, caption: str, logarithmic: bool = False
) -> Picture:
    def paint(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.add_subplot()
        for number, (label, curve) in enumerate(lines.items()):
            epochs = np.arange(1, curve.shape[1] + 1)
            mean, low, high = over_runs(curve)
            colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
            mark = "o" if len(epochs) == 1 else None
            axes.plot(epochs, mean, color=colour, linestyle=dash, marker=mark, linewidth=1.7, label=short(label, 28))
            axes.fill_between(epochs, low, high, color=colour, alpha=0.16, linewidth=0)
        if logarithmic:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.set_xlabel("epoch")
        axes.grid()
        figure.legend(loc="outside lower left", ncols=1 if len(lines) <= 3 else 2, fontsize=8, handlelength=2.6)

    means = {label: over_runs(curve)[0] for label, curve in lines.items()}
    known = {label: mean[~np.isnan(mean)] for label, mean in means.items()}
    ends = ", ".join(f"{label} from {mean[0]:.3g} to {mean[-1]:.3g}" for label, mean in known.items())
    return studio.draw(name, (4.0, height), paint, f"{what} over the epochs: {ends}.", caption)


@dataclass(frozen=True)
class Sample:
    """The network's view of N utterances before and after training (`[N, D]`); see `sere_core.train.picture`.

    Streams are "labelled", "source" and "test"; `emotion` is the place of the class that was labelled or, for the others, predicted.
    """

    initial: Floats
    trained: Floats
    stream: NDArray[np.str_]
    language: NDArray[np.str_]
    speaker: NDArray[np.str_]
    emotion: NDArray[np.int64]


def sample(record: Path) -> Sample | None:
    """The sample of a record; None where there is none, or it is damaged."""
    try:
        with np.load(record / "embeddings" / "picture.npz", allow_pickle=False) as data:
            wide = {name: data[name].astype(np.float64) for name in ("initial", "trained")}
            words = {name: data[name].astype(str) for name in ("stream", "language", "speaker")}
            found = Sample(**wide, **words, emotion=data["emotion"].astype(np.int64))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    sound = all(np.isfinite(array).all() for array in wide.values()) and found.initial.shape == found.trained.shape
    return found if sound and len(found.emotion) == len(found.initial) >= 10 else None


def agreements(sample: Sample, classes: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """Share of the ten nearest neighbours with the same property, before and after training and by chance; no map between.

    Properties are language, speaker and emotion, and the emotion of the utterances of each emotion.
    """
    from sklearn.neighbors import NearestNeighbors

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
    """t-SNE maps before and after training side by side: a picture coloured by emotion, one by language, one by speaker."""
    from sere_core.picture.embeddings import flat

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
