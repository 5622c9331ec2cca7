"""Where runs stand: which corpora a pair names, and which runs two rows share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sere_core.compare.facts import Results

Places = Mapping[str, Sequence[int]]


def sides(pair: str) -> tuple[str, str]:
    """The source and target corpus that a pair's name tells, "" where it does not.

    >>> sides("emodb>emovo"), sides("the first")
    (('emodb', 'emovo'), ('', ''))
    """
    source, arrow, target = (part.strip() for part in pair.partition(">"))
    return (source, target) if arrow else ("", "")


def shared(results: Results, *rows: str) -> dict[str, tuple[int, ...]]:
    """pair -> the seeds that have a record of every one of `rows`, in the order of the plan; pairs without any are left out."""
    plan = results.plan
    found = {pair: tuple(seed for seed in plan.seeds if all((row, pair, seed) in results.runs for row in rows)) for pair in plan.pairs}
    return {pair: seeds for pair, seeds in found.items() if seeds}


def lacking(results: Results, *rows: str) -> tuple[tuple[str, int], ...]:
    """The (pair, seed) of the plan without a record of one of `rows`."""
    plan = results.plan
    return tuple((pair, seed) for pair in plan.pairs for seed in plan.seeds if any((row, pair, seed) not in results.runs for row in rows))
