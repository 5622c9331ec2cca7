"""What a sweep says before and after its trials."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from statistics import fmean

from rich.table import Table
from rich.text import Text

from sere_core.compare.facts import Results
from sere_core.compare.stats.summary import spread
from sere_core.compare.sweep.choosing import Choice
from sere_core.compare.sweep.planning import Sweep
from sere_core.console import Speaker

_MANY = 24


def show_sweep(sweep: Sweep, missing: Collection[str], time: str, workers: int, speaker: Speaker) -> None:
    """What is searched in which row, how many trials there are, and how long they will take.

    Args:
        sweep: what is to be run.
        missing: jobs without a record.
        time: the estimate, as words.
        workers: how many jobs run at a time.
        speaker: the terminal.
    """
    if speaker.quiet:
        return
    plan, jobs = sweep.plan, {trial.job for place in sweep.places for trial in place.trials}
    count = f"{len(plan.rows)} rows x {len(plan.pairs)} pairs x {sweep.tune.repeats} repeats, {sweep.tune.trials} trials each"
    speaker.say(f"sweep {plan.name}: {count}: {len(jobs)} runs; {len(jobs) - len(missing)} there, {len(missing)} missing")
    table = _grid("row", "role", "trials", "runs", "searched")
    for row in plan.rows:
        trials = [trial.job for place in sweep.places if place.row == row.name for trial in place.trials]
        searched = ", ".join(row.tuned) or "nothing: it declares no range" * (row.role != "ceiling") or "not tuned"
        table.add_row(Text(row.name), Text(row.role), Text(str(len(trials))), Text(str(len(set(trials)))), Text(searched, overflow="fold"))
    speaker.console.print(table)
    speaker.say(f"tuning:  {sweep.tuning}")
    speaker.say(f"pairs:   {', '.join(plan.pairs)}")
    speaker.say(f"seeds:   {', '.join(map(str, plan.seeds))}, one for each repeat")
    speaker.say(f"time:    {time}" + (f" ({workers} at a time)" if missing else ""))
    speaker.say(f"folder:  {sweep.folder}")


def show_choices(sweep: Sweep, choices: Sequence[Choice], results: Results, speaker: Speaker) -> None:
    """What was chosen, and how much the outcome of the whole search moves from repeat to repeat."""
    if speaker.quiet:
        return
    tuned = [choice for choice in choices if choice.trial.setting]
    if tuned:
        speaker.say("\nchosen, by the rule's score on T_u")
        table = _grid("row", "pair", "seed", "trial", "score", "setting")
        for choice in tuned[:_MANY]:
            place, score = choice.place, choice.scores[choice.chosen]
            words = ("-" if score is None else f"{score:.4f}", _words(choice.trial.setting))
            cells = (place.row, place.pair, str(place.seed), f"{choice.chosen + 1}/{len(place.trials)}", *words)
            table.add_row(*(Text(cell, overflow="fold") for cell in cells))
        speaker.console.print(table)
        if len(tuned) > _MANY:
            speaker.say(f"and {len(tuned) - _MANY} more in chosen.json")
    lines = spread_lines(sweep, results)
    if lines:
        speaker.say(f"\nthe whole search, {sweep.tune.repeats} times: UAR in %, mean over pairs, by repeat")
        for line in lines:
            speaker.say(line)


def spread_lines(sweep: Sweep, results: Results) -> list[str]:
    """For each row whose repeats are all there: their UARs, mean and deviation."""
    found = []
    plan = sweep.plan
    for row in plan.rows:
        runs = {(pair, seed): results.runs.get((row.name, pair, seed)) for pair in plan.pairs for seed in plan.seeds}
        if row.role == "ceiling" or any(run is None for run in runs.values()):
            continue
        repeats = [fmean(run.uar for (_, which), run in runs.items() if run is not None and which == seed) for seed in plan.seeds]
        whole = spread(repeats)
        deviation = "" if whole.std is None else f" ± {100 * whole.std:.1f}"
        found.append(f"  {row.name}: {100 * whole.mean:.1f}{deviation}  ({' '.join(f'{100 * one:.1f}' for one in repeats)})")
    return found


def _words(setting: Mapping[str, object]) -> str:
    """Parameters without what they have in common; numbers short."""
    return ", ".join(
        f"{path.replace('.params.', '.').partition('.')[2]}={value:.3g}"
        if isinstance(value, float)
        else f"{path.replace('.params.', '.').partition('.')[2]}={value}"
        for path, value in setting.items()
    )


def _grid(*titles: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row(*(Text(title, style="bold") for title in titles))
    return table
