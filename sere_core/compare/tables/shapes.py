"""Every shape of table that a comparison has: what stands in the lines and columns of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sere_core.compare.tables.details import classes, cost, gender
from sere_core.compare.tables.main import main
from sere_core.compare.tables.mixing import refuse_mixed
from sere_core.compare.tables.model import Table
from sere_core.compare.tables.parts import ablation, encoder_names, encoders, part_names
from sere_core.compare.tables.source import Source

if TYPE_CHECKING:
    from sere_core.compare.facts import Results
    from sere_core.compare.stats.summary import Summary

#: name -> how it is made
SHAPES: dict[str, Callable[[Source], Table]] = {
    "main": main,
    "ablation": ablation,
    "encoders": encoders,
    "classes": classes,
    "gender": gender,
    "cost": cost,
}


def build(results: Results, shape: str = "main", summary: Summary | None = None) -> Table:
    """One table of a comparison.

    Args:
        results: of the comparison.
        shape: one of `SHAPES`.
        summary: of these results, if it has been computed already.

    Raises:
        SereError: T508 if the rows do not share a table.
    """
    return SHAPES[shape](source(results, summary))


def source(results: Results, summary: Summary | None = None) -> Source:
    """What all shapes are made from.

    Raises:
        SereError: T508 if the rows do not share a table.
    """
    refuse_mixed(results)
    if summary is None:
        from sere_core.compare.stats.summarise import summarise

        summary = summarise(results)
    return Source(results, summary)


def fitting(results: Results) -> list[str]:
    """The shapes that say something about these rows: ablations and encoder combinations where rows are named so."""
    names = [row.name for row in results.plan.rows]
    left_out = {"ablation": not part_names(names), "encoders": not encoder_names(names)}
    return [shape for shape in SHAPES if not left_out.get(shape)]
