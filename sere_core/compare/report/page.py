"""`report.html` of a comparison: which tables and figures it has, and the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import fmean

from sere_core.compare.label_free import by_scored
from sere_core.compare.reading import Results, read_results
from sere_core.compare.report import words
from sere_core.compare.report.figures import (
    History,
    agreements,
    draw_bars,
    draw_confusion,
    draw_diagnostics,
    draw_differences,
    draw_losses,
    draw_maps,
    history,
    sample,
)
from sere_core.compare.report.glossary import Glossary
from sere_core.compare.report.html import render
from sere_core.compare.report.studio import Picture, Studio, wide_image
from sere_core.compare.spaces import space_table
from sere_core.compare.stats.summary import Summary
from sere_core.compare.tables import ROW, Source, classes, cost, gender, main, measures, percent, write_tables
from sere_core.score.interval import ALPHA
from sere_core.score.records import read_history
from sere_core.tables.model import Cell, Column, Table, number
from sere_registry.errors import error
from sere_registry.files import write_atomically

#: rows beside the reference whose confusion matrices are shown at once; pairs whose embeddings are mapped
BEST, MAPPED = 3, 3
KINDS = {".svg": "svg+xml", ".png": "png"}

_OWN = ("bars-", "differences", "confusion-", "losses-", "diagnostic-", "map-")


def write_report(folder: Path, tell: Callable[[str], None] = lambda line: None) -> Path:
    """Write `report.html`, figures and tables into a comparison's folder, from its records alone.

    Raises:
        SereError: T505 if the folder holds no comparison; T506 or T508 if its rows share no table or nothing was scored; X704 or X705.
    """
    tell("reading records")
    results, silent = by_scored(read_results(folder))
    results.check()
    if silent.runs and not results.runs:
        what = f"nothing of this comparison was scored: its targets have no labels ({', '.join(silent.plan.pairs)})"
        raise error("T508", what, f"`sere table {folder}` prints what can be said without them")
    tell("statistics")
    made = Source(results)
    summary = made.summary
    tell("tables")
    write_tables(made, folder / "tables")
    figures = folder / "figures"
    studio = Studio(figures, lambda name: tell(f"figure {name}"))
    album = draw_album(studio, results, summary)
    for path in figures.glob("*"):  # what an earlier report drew and this one does not
        if path.suffix in (".png", ".svg") and path.stem.startswith(_OWN) and path.stem not in studio.drawn:
            path.unlink(missing_ok=True)
    tell("page")
    runs = results.runs.values()
    page = render(
        "comparison.html.j2",
        results=results,
        plan=results.plan,
        summary=summary,
        alpha=ALPHA,
        album=album,
        settings=words.settings(results),
        protocols=words.frequencies([facts.protocol] for facts in runs),
        digests=words.digests(results),
        varied=words.varied(results),
        space=space_table(results.plan.rows) if any(row.trials for row in results.plan.rows) else None,
        machines=words.frequencies([words.flat(facts.machine)] for facts in runs),
        headline=words.headline(summary),
        sentence=words.sentence,
        main=main(made),
        details=[classes(made), measures(made), gender(made)],
        clusters=cluster_table(made),
        cost=cost(made),
        troubles=words.frequencies(facts.warnings for facts in runs),
        failures=words.failures(results),
    )
    write_atomically(folder / "report.html", page)
    return folder / "report.html"


def cluster_table(source: Source) -> Table | None:
    """Does the target cluster by its true emotions, and are pseudo-labels right?"""
    titles = {
        "knn_purity": "same emotion nearby",
        "purity_chance": "by chance",
        "silhouette": "silhouette",
        "pseudo_accuracy": "right pseudo-labels",
    }
    lines = []
    for row in source.summary.rows:
        folds = [fold for run in source.results.of_row(row.row) for fold in run.clustering]
        found = {name: [fold[name] for fold in folds if name in fold] for name in titles}
        means = {name: fmean(values) if values else None for name, values in found.items()}
        if any(found.values()):
            cells = [
                Cell(number(value, percent=False, digits=3)) if name == "silhouette" else percent(value) for name, value in means.items()
            ]
            lines.append(source.line(row, cells))
    caption = (
        "Scored target utterances by their true emotions, as the scorer found when it opened the labels once: share of nearest "
        "neighbours with the same emotion, what chance gives, mean silhouette, and how many of the method's pseudo-labels are right "
        "(in %). Means over folds, seeds and pairs."
    )
    return Table("clusters", caption, (ROW, *map(Column, titles.values())), (tuple(lines),)) if lines else None


def draw_album(studio: Studio, results: Results, summary: Summary) -> dict[str, object]:
    plan, reference = results.plan, summary.reference
    others = [row for row in summary.rows if row.row != reference and row.role not in ("topline", "ceiling") and row.mean is not None]
    others.sort(key=lambda row: -(row.mean.mean if row.mean else 0.0))
    shown = [reference, *(row.row for row in others[:BEST])]
    matrices = {row.row: drawn for row in summary.rows if (drawn := draw_confusion(studio, results, row.row))}
    floors = [row.row for row in summary.rows if row.role == "floor"]
    places = [(reference, pair) for pair in plan.pairs[:MAPPED]]
    places += [(name, plan.pairs[0]) for name in dict.fromkeys([*shown[1:2], *floors]) if name != reference]
    record = next((facts.path for (row, *_), facts in results.runs.items() if row == reference), None)
    explain = Glossary.of(record).sentence
    by_pair = {pair: _history(results, reference, pair) for pair in plan.pairs}
    return {
        "bars": [picture for pair in plan.pairs if (picture := draw_bars(studio, summary, pair))],
        "differences": draw_differences(studio, summary),
        "confusions": [matrices[name] for name in shown if name in matrices],
        "more_confusions": [drawn for name, drawn in matrices.items() if name not in shown],
        "losses": [picture for row in summary.rows if (picture := draw_losses(studio, row.row, _history(results, row.row)["losses"]))],
        "diagnostics": draw_diagnostics(studio, reference, _history(results, reference), by_pair, explain),
        "mapped": [mapped for row, pair in places if (mapped := _mapped(studio, results, row, pair))],
        "resonance": given(studio.folder) if studio.folder else [],
    }


def _history(results: Results, row: str, pair: str | None = None) -> History:
    return history(read_history(facts.path) for (name, each, _), facts in results.runs.items() if name == row and pair in (None, each))


def _mapped(studio: Studio, results: Results, row: str, pair: str) -> dict[str, object] | None:
    """The maps of one row in one pair, and how neighbours agree."""
    facts = next((results.runs[row, pair, seed] for seed in results.plan.seeds if (row, pair, seed) in results.runs), None)
    taken = sample(facts.path) if facts else None
    if facts is None or taken is None or taken.emotion.max() >= len(facts.classes):
        return None
    title = f"{row}, {pair}"
    pictures = draw_maps(studio, title, taken, facts.classes)
    return {"title": title, "pictures": pictures, "neighbours": words.neighbours(agreements(taken, facts.classes))}


def given(folder: Path) -> list[Picture]:
    """The maps of resonance, each with the text beside it as its caption."""
    found = []
    for text in sorted(folder.glob("resonance-*.txt")):
        caption = text.read_text(encoding="utf-8").strip()
        forms = [path for path in (text.with_suffix(suffix) for suffix in KINDS) if path.exists()]
        path = min(forms, key=lambda each: each.stat().st_size)
        found.append(wide_image(text.stem, path.read_bytes(), KINDS[path.suffix], caption))
    return found
