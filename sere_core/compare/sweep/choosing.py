"""From finished trials to the plan of the table: for each row, pair and repeat the setting that the rule likes best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sere_core.compare.places import failure_file, is_done, read_json, record_of, write_json
from sere_core.compare.plan import ComparePlan, Job
from sere_core.compare.sweep.planning import Place, Sweep, Trial

CHOSEN = "chosen.json"
#: a setting under which training diverges has lost; any other failure says nothing about the setting
_LOST = ("T501",)


@dataclass(frozen=True)
class Choice:
    """What was chosen for one place.

    Args:
        place: the row, pair and repeat.
        scores: of the rule, one for each trial; None for a trial that diverged, and for all where there was nothing to choose.
        chosen: which trial.
    """

    place: Place
    scores: tuple[float | None, ...]
    chosen: int

    @property
    def trial(self) -> Trial:
        return self.place.trials[self.chosen]


def choose(sweep: Sweep) -> tuple[tuple[Choice, ...], tuple[tuple[Place, str], ...]]:
    """The choices, and the places that have none, each with why: a trial is missing, or failed for another reason than its setting.

    Args:
        sweep: its trials have been run.
    """
    scores: dict[str, float | str | None] = {}
    found, without = list[Choice](), list[tuple[Place, str]]()
    for place in sweep.places:
        jobs = list(dict.fromkeys(trial.job for trial in place.trials))
        if len(jobs) == 1 and is_done(sweep.folder, jobs[0]):
            found.append(Choice(place, (None,) * len(place.trials), 0))
            continue
        for job in jobs:
            if job not in scores:
                scores[job] = _score(sweep, place, job)
        why = next((str(score) for job in jobs if isinstance(score := scores[job], str)), "")
        mine = tuple(None if isinstance(score := scores[trial.job], str) else score for trial in place.trials)
        known = [number for number, score in enumerate(mine) if score is not None]
        if why or not known:
            without.append((place, why or "training diverged under every setting"))
        else:
            best = max(score for score in mine if score is not None)
            found.append(Choice(place, mine, mine.index(best)))  # the first of equals
    return tuple(found), tuple(without)


def _score(sweep: Sweep, place: Place, job: str) -> float | str | None:
    """The rule's score of a trial; None if it has lost; why there is none."""
    if is_done(sweep.folder, job):
        score = sweep.rule.score(record_of(sweep.folder, job), place.classes)
        return score if math.isfinite(score) else None
    failure = read_json(failure_file(sweep.folder, job))
    if not isinstance(failure, Mapping):
        return f"job {job} is not done"
    return None if failure.get("code") in _LOST else str(failure.get("line"))


def plan_of_choices(sweep: Sweep, choices: tuple[Choice, ...]) -> ComparePlan:
    """The plan of the table, whose runs are the chosen trials.

    A place without a choice is that of a trial without a record, so that the table has a gap there and can say why.
    """
    chosen = {id(choice.place): choice.trial.job for choice in choices}
    jobs = []
    for place in sweep.places:
        job = chosen.get(id(place)) or next((trial.job for trial in place.trials if not is_done(sweep.folder, trial.job)), None)
        if job is not None:
            jobs.append(Job(place.row, place.pair, place.seed, job))
    return replace(sweep.plan, jobs=tuple(jobs))


def write_choices(sweep: Sweep, choices: tuple[Choice, ...]) -> None:
    """Write `chosen.json`: the chosen setting and the scores of all trials, for each place.

    Raises:
        SereError: X704 or X705.
    """
    listed = [
        {
            "row": choice.place.row,
            "pair": choice.place.pair,
            "seed": choice.place.seed,
            "trial": choice.chosen,
            "job": choice.trial.job,
            "setting": dict(choice.trial.setting),
            "scores": list(choice.scores),
        }
        for choice in choices
    ]
    write_json(sweep.folder / CHOSEN, {"tuning": sweep.tuning, "places": listed})
