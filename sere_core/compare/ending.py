"""The end of `sere compare`: proof, table, failures; for an unchanged comparison the very text of last time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from sere_core.compare.jobs import Outcome
from sere_core.compare.kept import keep, kept, state_of
from sere_core.compare.plan import ComparePlan
from sere_registry.errors import SereError

TABLE = "table.json"


def finish(plan: ComparePlan, folder: Path, failures: Sequence[Outcome], console: Console) -> int:
    """Prove that the runs are comparable, print the table of what there is, and each failure as a line.

    Args:
        plan: of the comparison.
        folder: the comparison's.
        failures: of this call.
        console: where the table is printed.

    Returns:
        The exit code: 0 if every run is done.

    Raises:
        SereError: T506 for every difference that nothing explains and nobody allowed.
    """
    jobs = list(dict.fromkeys(job.job for job in plan.jobs))
    shape = f"{console.width} {console.color_system} {console.encoding} {console.is_terminal}"
    state = state_of(folder, jobs)
    text = kept(folder, TABLE, f"{state} {shape}") if not failures else None
    if text is not None:
        _print(text, console)
        return 0
    from sere_core.compare.evidence import Conditions
    from sere_core.compare.proved import proof_of
    from sere_core.compare.reading import read_results
    from sere_core.compare.tables import build
    from sere_core.tables import print_tables

    conditions = Conditions()
    results = read_results(folder, conditions)
    proof = proof_of(folder, plan, state, dict.fromkeys(facts.job for facts in results.runs.values()), conditions)
    lines = _failure_lines(plan, failures) or [f"{' '.join(map(str, place))}: {line}" for place, line in results.failures.items()]
    try:
        if proof.refused:
            raise SereError(*proof.refused)
        if results.runs:
            with console.capture() as capture:
                print_tables(console, build(replace(results, allowed=proof.allowed)))
            _print(capture.get(), console)
            if len(results.runs) == len(plan.jobs):
                keep(folder, TABLE, f"{state} {shape}", capture.get())
    finally:
        for line in lines:
            print(f"failed: {line}", file=sys.stderr)
    return 0 if len(results.runs) == len(plan.jobs) else 1


def _print(text: str, console: Console) -> None:
    """What was rendered for this console before, styles and all."""
    console.file.write(text)
    console.file.flush()


def _failure_lines(plan: ComparePlan, failures: Sequence[Outcome]) -> list[str]:
    places = {job.job: f"{job.row} {job.pair} seed {job.seed}" for job in reversed(plan.jobs)}
    return [f"{places[outcome.job]}: {outcome.line}" for outcome in failures]
