"""The report of a comparison, written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sere_core.compare.report import how, words
from sere_core.compare.report.album import draw_album
from sere_core.compare.report.grid import cluster_table, cost_table, main_table, recall_table, verdict_table
from sere_core.compare.report.paint import Studio
from sere_registry.errors import SereError
from sere_registry.files import write_atomically

TEMPLATE = Path(__file__).parent / "template"


def write_report(folder: Path, tell: Callable[[str], None] = lambda line: None) -> Path:
    """Write `report.html` into a comparison's folder, its figures and tables beside it, from the records in it and nothing else.

    The same records give the same bytes.  Names in them come from users: the template escapes everything but the drawings.

    Args:
        folder: `runs/NAME` of a comparison.
        tell: is told what is done at the moment, a few words at a time.

    Returns:
        The path of the report.

    Raises:
        SereError: T505 if the folder holds no comparison; T506 or T508 if its rows do not share a table; X704 or X705 if the report
            cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from sere_core.compare.evidence import Conditions
    from sere_core.compare.proof import prove
    from sere_core.compare.reading import read_results
    from sere_core.compare.stats.summarise import summarise
    from sere_core.compare.stats.summary import ALPHA
    from sere_core.compare.tables import write_tables
    from sere_core.compare.tables.mixing import refuse_mixed

    tell("reading records")
    conditions = Conditions()
    results = read_results(folder, conditions)
    tell("proof")
    jobs = {facts.job: facts.path for facts in results.runs.values()}
    proof = prove(results.plan, {job: conditions.of(path) for job, path in jobs.items()})
    if proof.refused:
        raise SereError(*proof.refused)
    refuse_mixed(results)
    results = replace(results, allowed=proof.allowed)
    tell("statistics")
    summary = summarise(results)
    tell("tables")
    write_tables(results, folder / "tables", summary)
    figures = folder / "figures"
    album = draw_album(Studio(figures, lambda name: tell(f"figure {name}")), results, summary)
    tell("page")
    ranks = summary.ranking
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["drawn"] = lambda picture: Markup(picture.svg)
    text = environment.get_template("report.html.j2").render(
        style=Markup((TEMPLATE / "style.css").read_text(encoding="utf-8")),
        results=results,
        plan=results.plan,
        summary=summary,
        alpha=ALPHA,
        album=album,
        settings=how.settings(results),
        protocols=how.protocols(results),
        digests=how.digests(results),
        machines=how.machines(results),
        headline=words.headline(summary),
        conclusions=words.conclusions(summary),
        main=main_table(results, summary),
        recall=recall_table(summary),
        verdicts=verdict_table(summary),
        clusters=cluster_table(results, summary),
        cost=cost_table(summary),
        troubles=how.troubles(results),
        probes=how.probes(results),
        failures=how.failures(results),
        friedman=None if ranks is None or ranks.friedman_p is None else words.chance(ranks.friedman_p, "p"),
        percent=lambda value: f"{100 * value:.0f} %",
    )
    path = folder / "report.html"
    write_atomically(path, text.encode())
    return path
