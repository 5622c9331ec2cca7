"""The plan as it is shown before anything starts."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from rich.table import Table
from rich.text import Text

from sere_core.compare.plan import ComparePlan
from sere_core.console import Speaker

_MANY = 12


def show_plan(plan: ComparePlan, folder: Path, missing: Collection[str], time: str, workers: int, speaker: Speaker) -> None:
    """Rows, pairs, seeds, budget, what is there, and how long the rest will take.

    Args:
        plan: what is to be run.
        folder: the comparison's.
        missing: jobs without a record.
        time: the estimate, as words.
        workers: how many jobs run at a time.
        speaker: the terminal.
    """
    if speaker.quiet:
        return
    places, jobs = len(plan.jobs), len({job.job for job in plan.jobs})
    table = Table.grid(padding=(0, 2))
    table.add_row(Text("row", style="bold"), Text("role", style="bold"), Text("varies", style="bold"), Text("runs", style="bold"))
    for row in plan.rows:
        mine = {job.job for job in plan.jobs if job.row == row.name}
        there = len(mine - set(missing))
        marks = ", reference" if row.name == plan.reference else ""
        varied = ", ".join(row.varied) or "nothing"
        table.add_row(Text(row.name), Text(f"{row.role}{marks}"), Text(varied, overflow="fold"), Text(f"{there}/{len(mine)}"))
    count = f"{len(plan.rows)} rows x {len(plan.pairs)} pairs x {len(plan.seeds)} seeds"
    runs = f"{jobs} runs" if jobs == places else f"{places} places, {jobs} runs"  # ceilings of pairs with one target share theirs
    speaker.say(f"comparison {plan.name}: {count} = {runs}; {jobs - len(missing)} there, {len(missing)} missing")
    speaker.console.print(table)
    more = f" and {len(plan.pairs) - _MANY} more" if len(plan.pairs) > _MANY else ""
    speaker.say(f"pairs:   {', '.join(plan.pairs[:_MANY])}{more}")
    speaker.say(f"seeds:   {', '.join(map(str, plan.seeds))}")
    budget = ", ".join(f"{name} {'one pass over T_u' if value is None else value}" for name, value in plan.budget.items())
    speaker.say(f"budget:  {budget}")
    if plan.allow:
        speaker.say(f"allowed: differences in {', '.join(plan.allow)}")
    speaker.say(f"time:    {time}" + (f" ({workers} at a time)" if missing else ""))
    speaker.say(f"folder:  {folder}")
