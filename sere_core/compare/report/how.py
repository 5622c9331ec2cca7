"""What was compared and how: settings, budget, seeds, digests, versions and machines, as lines of tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sere_core.compare.facts import Results
from sere_core.compare.report.evidence import manifest
from sere_core.compare.report.words import count


@dataclass(frozen=True)
class Digest:
    """One digest over the comparison.

    Args:
        name: what is digested.
        runs: how many records hold it.
        values: how many different ones there are.
        alike: in how many (pair, seed) all rows but ceilings have the same, of how many with two such rows or more.
        different: the rows that differ from the reference somewhere.
    """

    name: str
    runs: int
    values: int
    alike: tuple[int, int]
    different: tuple[str, ...]


def settings(results: Results) -> list[tuple[str, str]]:
    """The lines of "what and how"."""
    plan, runs = results.plan, results.runs.values()
    first = manifest_of(results)
    lines = [
        ("comparison", f"{plan.name} ({plan.asked[:12]})"),
        ("reference row", plan.reference),
        ("pairs", ", ".join(plan.pairs)),
        ("seeds", ", ".join(map(str, plan.seeds))),
        ("runs", f"{len(results.runs)} of {len(plan.rows) * len(plan.pairs) * len(plan.seeds)} have a finished record"),
        ("budget of every run", _flat(plan.budget)),
        ("selection rule", _listed(facts.selection for facts in runs)),
        ("evidence", _listed(facts.evidence for facts in runs)),
    ]
    config = results.config
    for section in ("task", "train", "features"):
        if isinstance(config.get(section), Mapping):
            lines.append((f"{section} (reference row)", _flat(config[section])))
    openings = Counter[str]()
    for facts in runs:
        openings.update(facts.openings)
    lines.append(
        ("target labels opened", ", ".join(f"{number:,} by {opener}" for opener, number in sorted(openings.items())) or "none recorded")
    )
    if isinstance(first.get("versions"), Mapping):
        lines.append(("versions", ", ".join(f"{name} {version}" for name, version in first["versions"].items())))
    return lines


def machines(results: Results) -> list[tuple[str, int]]:
    """The machines that the records name, and how many runs each made."""
    found = Counter[str]()
    for facts in results.runs.values():
        data = manifest(facts.path).get("machine")
        found[_flat(data) if isinstance(data, Mapping) else "unknown"] += 1
    return found.most_common()


def manifest_of(results: Results) -> Mapping[str, Any]:
    """The manifest of the reference row's first run, or of any."""
    ordered = sorted(results.runs, key=lambda place: place[0] != results.plan.reference)
    return manifest(results.runs[ordered[0]].path) if ordered else {}


def protocols(results: Results) -> list[tuple[str, int]]:
    """The protocols among the runs, and how many runs have each."""
    return Counter(facts.protocol for facts in results.runs.values()).most_common()


def digests(results: Results) -> list[Digest]:
    """What can be seen of equality in the records themselves."""
    plan, runs = results.plan, results.runs
    names = sorted({name for facts in runs.values() for name in facts.digests})
    found = []
    for name in names:
        same, places, different = 0, 0, set[str]()
        for pair in plan.pairs:
            for seed in plan.seeds:
                here = {
                    row.name: runs[row.name, pair, seed].digests[name]
                    for row in plan.rows
                    if (row.name, pair, seed) in runs and name in runs[row.name, pair, seed].digests
                }
                fair = {value for row, value in here.items() if plan.row(row).role != "ceiling"}
                if sum(plan.row(row).role != "ceiling" for row in here) >= 2:
                    places += 1
                    same += len(fair) == 1
                if not here:
                    continue
                usual = here.get(plan.reference) or Counter(here.values()).most_common(1)[0][0]
                different |= {row for row, value in here.items() if value != usual}
        held = [facts.digests[name] for facts in runs.values() if name in facts.digests]
        ordered = tuple(row.name for row in plan.rows if row.name in different)
        found.append(Digest(name, len(held), len(set(held)), (same, places), ordered))
    return found


def troubles(results: Results) -> list[tuple[str, int]]:
    """The warnings of all runs, each once, the most frequent first, with the number of runs that gave it."""
    found = Counter(line for facts in results.runs.values() for line in dict.fromkeys(facts.warnings))
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))


def probes(results: Results) -> list[tuple[str, int]]:
    """What plugin code did that could have led it to sealed labels, with the number of runs."""
    found = Counter(line for facts in results.runs.values() for line in dict.fromkeys(facts.probes))
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))


def failures(results: Results) -> list[str]:
    """One line for each place without a finished record: why, as far as that is known."""
    plan, lines = results.plan, []
    for row in plan.rows:
        for pair in plan.pairs:
            unknown = []
            for seed in plan.seeds:
                place = (row.name, pair, seed)
                if place in results.failures:
                    lines.append(f"{row.name}, {pair}, seed {seed}: {results.failures[place]}")
                elif place not in results.runs:
                    unknown.append(str(seed))
            if unknown:
                lines.append(f"{row.name}, {pair}: {count(len(unknown), 'run was', 'runs were')} not made (seed {', '.join(unknown)})")
    return lines


def _listed(values: Iterable[str]) -> str:
    found = Counter(values)
    return (
        found.most_common(1)[0][0] if len(found) == 1 else ", ".join(f"{value} ({count(n, 'run', 'runs')})" for value, n in found.items())
    )


def _flat(data: Mapping[str, Any]) -> str:
    """`a 1, b.c x`; what is unset is left out."""
    return ", ".join(f"{name} {value}" for name, value in _leaves(data) if value is not None)


def _leaves(data: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in data.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) if value is not None else None
