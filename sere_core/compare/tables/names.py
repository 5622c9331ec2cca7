"""A row's full name: two rows that differ in it are not to be read against each other without saying so, or share no table at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sere_core.compare.reading import Results, RunFacts
from sere_core.score.manifest import EVIDENCE, weakest
from sere_core.tables.model import plain
from sere_registry.errors import Problem, SereError

#: behind the name of every row that was trained on labels of the target
CEILING = "†"


@dataclass(frozen=True)
class FullName:
    """A row's full name.

    Args:
        parts: by what they say, for CSV; empty where the row has no run.  Protocols are without their pairs, the label regime is
            their first word, features are 8 hex digits over all pairs, the evidence is the weakest of the row's runs.
        odd: are its features others than the reference's, for a pair that both have?
    """

    parts: Mapping[str, str]
    odd: bool

    @property
    def label(self) -> str:
        """What stands in front of its line: its name, and all in which it is not like the others."""
        words = [self.parts["row"]]
        if self.parts["role"] == "ceiling":
            words.append(CEILING)
        if self.parts["evidence"] not in {"", EVIDENCE[0]}:
            words.append(f"({self.parts['evidence']})")
        if self.odd:
            words.append(f"[{self.parts['features']}]")
        return " ".join(words)


def full_names(results: Results) -> dict[str, FullName]:
    """The full name of every row of the plan."""
    runs: dict[str, dict[str, list[RunFacts]]] = {row.name: {} for row in results.plan.rows}
    for (name, pair, _), run in results.runs.items():
        runs[name].setdefault(pair, []).append(run)
    features = {name: {pair: _features(each) for pair, each in pairs.items()} for name, pairs in runs.items()}
    usual = features[results.plan.reference]
    found = {}
    for row in results.plan.rows:
        every = [run for each in runs[row.name].values() for run in each]
        mine = features[row.name]
        protocols = sorted({run.protocol.partition(" ")[2] for run in every})
        parts = {
            "row": plain(row.name),
            "role": row.role,
            "protocol": "; ".join(protocols),
            "regime": "; ".join(dict.fromkeys(words.partition(" ")[0] for words in protocols)),
            "selection": "; ".join(sorted({run.selection for run in every})),
            "features": _one(set(mine.values()), sorted(mine.items()))[:8],
            "evidence": weakest(run.evidence for run in every) if every else "",
            "tuning": row.tuning,
        }
        odd = row.role != "ceiling" and any(usual.get(pair, digest) != digest for pair, digest in mine.items())
        found[row.name] = FullName(parts, odd)
    return found


def common(names: Iterable[FullName]) -> str:
    """What the rows have in common, for the caption; ceilings speak for themselves."""
    rows = [name for name in names if name.parts["role"] != "ceiling" and name.parts["protocol"]]
    protocols = sorted({words for name in rows for words in name.parts["protocol"].split("; ")})
    said = [" / ".join(protocols) or "no run yet"]
    for what in ("selection", "features", "tuning", "evidence"):
        values = {name.parts[what] for name in rows if not (what == "features" and name.odd)}
        said += [f"{what} {', '.join(sorted(values, key=_order))}"] if values else []
    return "; ".join(said)


def _order(label: str) -> tuple[int, str]:
    return (EVIDENCE.index(label) if label in EVIDENCE else 0, label)


def _features(runs: Iterable[RunFacts]) -> str:
    """What the features of a pair's runs are known by: the digest itself where there is one."""
    kinds = {tuple(sorted((key, value) for key, value in run.digests.items() if key.startswith("features."))) for run in runs}
    return _one({value for kind in kinds for _, value in kind}, sorted(kinds))


def _one(values: set[str], content: object) -> str:
    """The only value; a digest of `content` where there are several, "" where there is none."""
    return hashlib.sha256(repr(content).encode()).hexdigest() if len(values) > 1 else "".join(values)


def refuse_mixed(results: Results) -> None:
    """Are the rows of these results comparable?  A ceiling may have a protocol of its own, and its line is marked.

    Raises:
        SereError: T508, once for each thing that differs, with the rows.
    """
    plan, problems = results.plan, list[Problem]()

    def look(what: str, pair: str, values: Iterable[tuple[str, str]]) -> None:
        rows: dict[str, list[str]] = {}
        for row, value in values:
            rows.setdefault(value, []).append(row)
        if len(rows) > 1:
            place = f"pair {pair}: " if pair else ""
            listed = "; ".join(f"{value!r} ({', '.join(dict.fromkeys(names))})" for value, names in rows.items())
            hint = "make the rows alike, or compare them in two comparisons"
            problems.append(Problem("T508", f"{place}rows of other {what} share no table: {listed}", hint))

    ceilings = [row.name for row in plan.rows if row.role == "ceiling"]
    for pair in plan.pairs:
        runs = [(row, run) for (row, where, _), run in results.runs.items() if where == pair]
        look("protocols", pair, ((row, run.protocol) for row, run in runs if row not in ceilings))
        for ceiling in ceilings:
            look("protocols", pair, ((row, run.protocol) for row, run in runs if row == ceiling))
        look("classes", pair, ((row, " ".join(run.classes)) for row, run in runs))
    look("selection rules", "", ((row, run.selection) for (row, _, _), run in results.runs.items()))
    look("tuning", "", ((row.name, row.tuning) for row in plan.rows if row.name not in ceilings))
    if problems:
        raise SereError(*problems)
