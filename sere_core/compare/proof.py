"""Proof from records that the rows of a table differ in nothing but what they vary.

Within each pair and seed rows must agree in what they do not vary; over all of them, a row must be the same row.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from sere_core.compare.plan import ComparePlan, Row
from sere_registry.errors import Problem

#: what a record says of the conditions of its run, flat: name -> value; see `sere_core.compare.reading`
Conditions = Mapping[str, str]

_BUDGET = ("train.epochs", "train.steps_per_epoch")  # itself never explained, see below
_SOURCE = ("task.source", "task.classes", "task.shots", "task.shots_from", "corpora")
_FRAMES = ("encoders", "dynamics", "features", "paths", "task.normalise", "task.shrinkage", "task.target")

#: what is compared -> the config paths, or what lies below or above them, that explain a difference in it
EXPLAINED_BY: Mapping[str, tuple[str, ...]] = {
    "digests.features": (*_FRAMES, *_SOURCE),
    "digests.corpora": ("corpora",),
    "digests.folds.labelled": _SOURCE,
    "digests.folds.source": _SOURCE,
    "digests.streams.labelled": (*_BUDGET, "train.batch.labelled", *_SOURCE),
    "digests.streams.source": (*_BUDGET, "train.batch.source", *_SOURCE),
    "digests.streams.target": (*_BUDGET, "train.batch.target"),  # no row trains on another target
    "selection": ("select",),
    "machine.device": ("train.device",),
    "machine.precision": ("train.precision",),
}
#: never explained by a row: who is scored, in which classes, from which draw, with which budget and which libraries
NEVER_EXPLAINED = (
    "digests.folds.test",
    "digests.folds.target",
    "classes",
    *(f"config.{path}" for path in _BUDGET),
    "config.task.target",
    "seeds",
    "versions",
)
#: of the target corpus, what no row explains either: who speaks, and what is true
_TRUTH = ("labels", "speakers")
#: what is not there, where that is no difference: a ceiling has no source corpus, another row not this one's plugin
_OPTIONAL = ("config.corpora", "digests.corpora", "digests.features", "digests.files", "digests.streams", "components", "versions")
#: of one row, what may change from pair to pair: languages have their own corpora, protocols and encoders
_OF_PAIRS = ("task", "corpora", "paths", "encoders")


class Proof(NamedTuple):
    """Differences that were allowed by name, as lines for the table; and all others."""

    allowed: tuple[str, ...]
    refused: tuple[Problem, ...]


class _Difference(NamedTuple):
    name: str
    rows: tuple[str, ...]
    against: str
    values: tuple[str, str]
    where: str


def prove(plan: ComparePlan, records: Mapping[str, Conditions]) -> Proof:
    """Compare the conditions of the jobs that are done (job -> conditions)."""

    def kind(one: _Difference) -> tuple[str, tuple[str, ...]]:
        return allow_name(one.name), one.rows

    allowed, refused = [], []
    found = sorted([*_within(plan, records), *_across(plan, records)], key=kind)
    for (name, rows), group in groupby(found, key=kind):
        first, *rest = group
        more = len({one.where for one in (first, *rest)}) - 1
        where = first.where + (f" and {more} more" if more else "")
        old, new = map(_short, first.values)
        what = f"{first.name}: {', '.join(rows)}: {new}, {first.against}: {old}, at {where}"
        if is_below(first.name, *plan.allow):
            allowed.append(f"allowed difference in {what}")
        else:
            hint = f"run them again under the same conditions, or allow it by name: `allow: [{name}]`"
            refused.append(Problem("T506", f"rows differ in {what}", hint))
    return Proof(tuple(allowed), tuple(refused))


def _within(plan: ComparePlan, records: Mapping[str, Conditions]) -> Iterator[_Difference]:
    """By pair and seed: rows unlike the reference, or unlike most where it may vary the thing."""
    places: dict[tuple[str, int], list[tuple[str, Conditions]]] = {}
    for job in plan.jobs:
        if job.job in records:
            places.setdefault((job.pair, job.seed), []).append((job.row, records[job.job]))
    rows = {row.name: row for row in plan.rows}
    explained = functools.cache(lambda name, row: is_explained(name, rows[row]))
    for (pair, seed), members in places.items():
        target = members[0][1].get("config.task.target", "")
        truth = {f"digests.corpora.{target}.{what}" for what in _TRUTH}
        for name in dict.fromkeys(name for _, seen in members for name in seen):
            if len({seen.get(name) for _, seen in members}) == 1:
                continue  # most are everywhere the same
            values: dict[str, list[str]] = {}
            for row, seen in members:
                value = _value(name, seen)
                if value is not None and (name in truth or not explained(name, row)):
                    values.setdefault(value, []).append(row)
            if len(values) < 2 or _only_paths(values):
                continue
            most = max(values, key=lambda value: len(values[value]))
            common = next((value for value, those in values.items() if plan.reference in those), most)
            against = plan.reference if plan.reference in values[common] else values[common][0]
            for value, those in values.items():
                if value != common:
                    yield _Difference(name, tuple(those), against, (common, value), f"{pair} seed {seed}")


def _across(plan: ComparePlan, records: Mapping[str, Conditions]) -> Iterator[_Difference]:
    """Rows that are not the same row everywhere."""
    for row in plan.rows:
        jobs = [job for job in plan.jobs if job.row == row.name and job.job in records]
        places = [(f"{job.pair} seed {job.seed}", records[job.job]) for job in jobs]
        constant = [name for name in dict.fromkeys(name for _, seen in places for name in seen) if _is_constant(name, row)]
        for where, seen in places[1:]:
            first_place, first = places[0]
            for name in constant:
                old, new = _value(name, first), _value(name, seen)
                if old != new and old is not None and new is not None and not _only_paths((old, new)):
                    yield _Difference(name, (row.name,), first_place, (old, new), where)


def _is_constant(name: str, row: Row) -> bool:
    """Must a row have the same value of this over all pairs and seeds?"""
    section, _, path = name.partition(".")
    if section in ("versions", "selection", "machine"):
        return True
    ends = ("task.source", "task.target", "task.classes")  # the pair's own, also where a ceiling varies them
    if section not in ("config", "components") or is_below(path, *ends) or (section == "config" and is_below(path, *row.space)):
        return False
    return not is_below(path, *_OF_PAIRS) or is_below(path, *row.varied)


def _value(name: str, seen: Conditions) -> str | None:
    """None where this says nothing of the run."""
    return seen.get(name, None if is_below(name, *_OPTIONAL) else "nothing")


def _only_paths(values: Iterable[str]) -> bool:
    """Files are compared by digests, not by where they lie."""
    return all(os.path.isabs(value) for value in values)


def _short(value: str) -> str:
    return value if len(value) <= 40 else f"{value[:12]}..." if " " not in value else f"{value[:37]}..."


def is_below(path: str, *others: str) -> bool:
    """Is a dotted path one of the others, or below one?"""
    return any(path == other or path.startswith(other + ".") for other in others)


def is_explained(name: str, row: Row) -> bool:
    """May this row differ from the others in `name`?"""
    if is_below(name, *NEVER_EXPLAINED):
        return False
    if name.startswith("components."):
        return is_below(name.removeprefix("components."), *row.varied)
    causes = [cause for what, causes in EXPLAINED_BY.items() if is_below(name, what) for cause in causes]
    causes += [name.removeprefix(section) for section in ("config.", "digests.files.") if name.startswith(section)]
    return any(is_below(path, cause) or is_below(cause, path) for cause in causes for path in row.varied)


def allow_name(name: str) -> str:
    """The name by which a difference is allowed."""
    if is_below(name, "digests.features", "digests.corpora"):
        return ".".join(name.split(".")[:2])
    return name
