"""Which figures a report has."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sere_core.compare.facts import Results
from sere_core.compare.report.bars import draw_bars
from sere_core.compare.report.confusions import draw_confusion
from sere_core.compare.report.critical import draw_critical
from sere_core.compare.report.curves import draw_diagnostics, draw_losses
from sere_core.compare.report.evidence import History, history, sample
from sere_core.compare.report.maps import Agreement, agreements, draw_maps
from sere_core.compare.report.paint import Picture, Studio
from sere_core.compare.stats.summary import Summary

#: rows beside the reference whose confusion matrices are shown at once; pairs whose embeddings are mapped
BEST, MAPPED = 3, 3
#: the largest file that is put into the page as it is, in bytes
LARGEST = 1_500_000

_OWN = ("bars-", "critical-difference", "confusion-", "losses-", "diagnostic-", "map-")


@dataclass(frozen=True)
class Mapped:
    """The maps of one row in one pair, and how neighbours agree."""

    title: str
    pictures: tuple[Picture, ...]
    agreements: tuple[Agreement, ...]


@dataclass(frozen=True)
class Given:
    """A figure that another command left in `figures/`: a data URL."""

    name: str
    url: str
    caption: str


@dataclass(frozen=True)
class Album:
    """All figures of a report, by section."""

    bars: tuple[Picture, ...]
    critical: Picture | None
    confusions: tuple[Picture, ...]
    more_confusions: tuple[Picture, ...]
    losses: tuple[Picture, ...]
    diagnostics: tuple[Picture, ...]
    mapped: tuple[Mapped, ...]
    resonance: tuple[Given, ...] = field(default=())


def draw_album(studio: Studio, results: Results, summary: Summary) -> Album:
    """Draw every figure, and remove those of an earlier report that are no more."""
    plan, reference = results.plan, summary.reference
    shown = _shown(summary)
    matrices = {row.row: draw_confusion(studio, results, row.row) for row in summary.rows}
    album = Album(
        bars=_found(draw_bars(studio, summary, pair) for pair in plan.pairs),
        critical=None if summary.ranking is None else draw_critical(studio, summary.ranking, reference),
        confusions=_found(matrices[name] for name in shown),
        more_confusions=_found(picture for name, picture in matrices.items() if name not in shown),
        losses=_found(draw_losses(studio, row.row, _histories(results, row.row).losses) for row in summary.rows),
        diagnostics=tuple(draw_diagnostics(studio, reference, {pair: _histories(results, reference, pair) for pair in plan.pairs})),
        mapped=tuple(_mapped(studio, results, summary, shown)),
        resonance=given(studio.folder, "resonance-"),
    )
    _tidy(studio.folder, album)
    return album


def given(folder: Path, prefix: str) -> tuple[Given, ...]:
    """The figures of others in `folder` whose names begin with `prefix`; an SVG before a PNG of the same name, if it is not too large.

    A text file of the same name is its caption.
    """
    found = {}
    for kind, suffix in (("png", "png"), ("svg+xml", "svg")):
        for path in sorted(folder.glob(f"{prefix}*.{suffix}")):
            data = path.read_bytes()
            if len(data) > LARGEST:
                continue
            beside = path.with_suffix(".txt")
            words = path.stem.removeprefix(prefix).replace("-", " ")
            caption = beside.read_text(encoding="utf-8", errors="replace").strip() if beside.is_file() else words
            found[path.stem] = Given(path.stem, f"data:image/{kind};base64,{base64.b64encode(data).decode()}", caption)
    return tuple(found[name] for name in sorted(found))


def _shown(summary: Summary) -> list[str]:
    """The reference, and the best of the others that are no ceilings."""
    others = [row for row in summary.rows if row.row != summary.reference and row.role != "ceiling" and row.mean is not None]
    others.sort(key=lambda row: -(row.mean.mean if row.mean else 0.0))
    return [summary.reference, *(row.row for row in others[:BEST])]


def _found(pictures: Iterable[Picture | None]) -> tuple[Picture, ...]:
    return tuple(picture for picture in pictures if picture is not None)


def _histories(results: Results, row: str, pair: str | None = None) -> History:
    paths = [facts.path for (name, each, _), facts in results.runs.items() if name == row and pair in (None, each)]
    return history(paths)


def _mapped(studio: Studio, results: Results, summary: Summary, shown: list[str]) -> list[Mapped]:
    """The reference in the first pairs, then the best others and the floor in the first pair."""
    plan = results.plan
    floors = [row.row for row in summary.rows if row.role == "floor"]
    others = [name for name in dict.fromkeys([*shown[1:2], *floors]) if name != summary.reference]
    places = [(summary.reference, pair) for pair in plan.pairs[:MAPPED]] + [(name, pair) for name in others for pair in plan.pairs[:1]]
    found = []
    for row, pair in places:
        facts = next((results.runs[row, pair, seed] for seed in plan.seeds if (row, pair, seed) in results.runs), None)
        taken = None if facts is None else sample(facts.path)
        if facts is None or taken is None or taken.emotion.max() >= len(facts.classes):
            continue
        title = f"{row}, {pair}"
        found.append(Mapped(title, tuple(draw_maps(studio, title, taken, facts.classes)), tuple(agreements(taken, facts.classes))))
    return found


def _tidy(folder: Path, album: Album) -> None:
    pictures = [*album.bars, *album.confusions, *album.more_confusions, *album.losses, *album.diagnostics]
    pictures += [picture for mapped in album.mapped for picture in mapped.pictures]
    kept = {picture.name for picture in pictures} | ({album.critical.name} if album.critical else set())
    for path in folder.glob("*"):
        if path.suffix in (".png", ".svg") and path.stem.startswith(_OWN) and path.stem not in kept:
            path.unlink(missing_ok=True)
