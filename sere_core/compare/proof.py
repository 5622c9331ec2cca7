"""Proof from records that the rows of a table differ in nothing but what they vary.

Within each pair and seed, rows that do not vary a thing must agree in it.  Over all pairs and seeds, a row must be the same row.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from sere_core.compare.explain import allow_name, allowed_by, below, explained
from sere_core.compare.plan import ComparePlan, Row
from sere_registry.errors import Problem

if TYPE_CHECKING:
    from sere_core.compare.evidence import Evidence

Places = tuple[str, int]

#: what is not there, where that is no difference: a ceiling has no source corpus, another row not this one's plugin
_OPTIONAL = ("config.corpora", "digests.corpora", "digests.features", "digests.streams", "components", "versions")
#: of one row, what may change from pair to pair: languages have their own corpora, protocols and encoders
_OF_PAIRS = ("task", "corpora", "paths", "encoders")


@dataclass(frozen=True)
class Proof:
    """What was found.

    Args:
        allowed: lines for the table: differences that were allowed by name.
        refused: all others, one problem each; none if the table may stand.
    """

    allowed: tuple[str, ...]
    refused: tuple[Problem, ...]


@dataclass(frozen=True)
class Difference:
    """Rows that are not as the others in one thing, at one place; or a row that is not everywhere the same."""

    name: str
    rows: tuple[str, ...]
    against: str
    values: tuple[str, str]
    where: str


def prove(plan: ComparePlan, records: Mapping[str, Evidence]) -> Proof:
    """Compare what records say of their runs.

    Args:
        plan: of the comparison.
        records: job -> its conditions, for the jobs that are done.

    Returns:
        Equal runs give no line at all.
    """
    found = [*_within(plan, records), *_across(plan, records)]
    allowed, refused = [], []
    for (name, _), group in groupby(sorted(found, key=_kind), key=_kind):
        same = list(group)
        first, more = same[0], len({one.where for one in same}) - 1
        where = first.where + (f" and {more} more" if more else "")
        old, new = first.values
        what = f"{first.name}: {', '.join(first.rows)}: {new}, {first.against}: {old}, at {where}"
        if allowed_by(first.name, plan.allow):
            allowed.append(f"allowed difference in {what}")
        else:
            hint = f"run them again under the same conditions, or allow it by name: `allow: [{name}]`"
            refused.append(Problem("T506", f"rows differ in {what}", hint))
    return Proof(tuple(allowed), tuple(refused))


def _kind(difference: Difference) -> tuple[str, tuple[str, ...]]:
    """What makes one line of many places."""
    return allow_name(difference.name), difference.rows


def _within(plan: ComparePlan, records: Mapping[str, Evidence]) -> Iterator[Difference]:
    """Rows that differ, by pair and seed."""
    places: dict[Places, list[tuple[Row, Evidence]]] = {}
    rows = {row.name: row for row in plan.rows}
    for job in plan.jobs:
        if job.job in records:
            places.setdefault((job.pair, job.seed), []).append((rows[job.row], records[job.job]))
    explanations: dict[tuple[str, str], bool] = {}
    for (pair, seed), members in places.items():
        for name in dict.fromkeys(name for _, seen in members for name in seen):
            if len({seen.get(name) for _, seen in members}) == 1:
                continue  # most are everywhere the same
            values: dict[str, list[str]] = {}
            for row, seen in members:
                value = _value(name, seen)
                if value is None:
                    continue
                if (name, row.name) not in explanations:
                    explanations[name, row.name] = explained(name, row)
                if not explanations[name, row.name]:
                    values.setdefault(value, []).append(row.name)
            if len(values) > 1 and not _only_paths(values):
                yield from _odd(name, values, plan.reference, f"{pair} seed {seed}")


def _odd(name: str, values: Mapping[str, Sequence[str]], reference: str, where: str) -> Iterator[Difference]:
    """The rows that do not have the value of the reference row (or of most rows, where the reference may vary it)."""
    common = next((value for value, rows in values.items() if reference in rows), max(values, key=lambda value: len(values[value])))
    against = reference if reference in values[common] else values[common][0]
    for value, rows in values.items():
        if value != common:
            yield Difference(name, tuple(rows), against, (_short(common), _short(value)), where)


def _across(plan: ComparePlan, records: Mapping[str, Evidence]) -> Iterator[Difference]:
    """Rows that are not the same row everywhere."""
    for row in plan.rows:
        places = [(f"{job.pair} seed {job.seed}", records[job.job]) for job in plan.jobs if job.row == row.name and job.job in records]
        if not places:
            continue
        first_place, first = places[0]
        constant = [name for name in dict.fromkeys(name for _, seen in places for name in seen) if _constant(name, row)]
        for where, seen in places[1:]:
            for name in constant:
                if first.get(name) == seen.get(name):
                    continue
                old, new = _value(name, first), _value(name, seen)
                if old == new or old is None or new is None or _only_paths([old, new]):
                    continue
                yield Difference(name, (row.name,), first_place, (_short(old), _short(new)), where)


def _constant(name: str, row: Row) -> bool:
    """Must a row have the same value of this over all pairs and seeds?"""
    section, _, path = name.partition(".")
    if section in ("versions", "selection", "machine"):
        return True
    if section not in ("config", "components"):
        return False
    if section == "config" and any(below(path, one) for one in row.tuned):
        return False
    ends = ("task.source", "task.target", "task.classes")  # the pair's own, also where a ceiling varies them
    if any(below(path, one) for one in ends):
        return False
    return not any(below(path, one) for one in _OF_PAIRS) or any(below(path, one) for one in row.varied)


def _value(name: str, seen: Evidence) -> str | None:
    """None where this says nothing of the run."""
    if name in seen:
        return seen[name]
    return None if any(below(name, one) for one in _OPTIONAL) else "nothing"


def _only_paths(values: Mapping[str, object] | Sequence[str]) -> bool:
    """Do they differ in where files lie only?  What is in the files is compared by digests."""
    return all(os.path.isabs(value) for value in values)


def _short(value: str) -> str:
    return value if len(value) <= 40 else f"{value[:12]}..." if " " not in value else f"{value[:37]}..."
