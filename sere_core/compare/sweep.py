"""A search over the rows of a comparison: settings drawn from declared ranges, their jobs, and the choice."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from sere_core.compare.grammar import Flags, Request, Tune, read_request
from sere_core.compare.plan import ComparePlan, Job, Row, is_done, read_failure, record_of, write_json
from sere_core.compare.planning import Cell, Planned, Planner, Value, laid, shortest
from sere_core.compare.progress import grid
from sere_core.compare.proof import is_below
from sere_core.compare.reading import Results
from sere_core.compare.stats.summary import spread
from sere_core.config import Resolved
from sere_core.config.nodes import Node, at, noted, plain
from sere_core.config.resolved import Bound
from sere_core.console import Speaker
from sere_registry import BuildContext, Selector
from sere_registry.errors import Problem, error, suggest

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

#: path of a parameter -> its value
Setting = Mapping[str, object]
TRIALS, CHOSEN = "trials.json", "chosen.json"
#: a setting under which training diverges has lost; any other failure says nothing about the setting
_LOST = ("T501",)
_MANY_CHOICES = 24


class Range(NamedTuple):
    """ "log", "uniform" or "int" between two ends, or one of a "choice"."""

    path: str
    kind: str
    values: tuple[object, ...]
    whole: bool = False

    def distribution(self) -> BaseDistribution:
        """C302 for a declared range that is none."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        try:
            if self.kind == "choice":
                return CategoricalDistribution(range(len(self.values)))  # of places in the list: values may be anything
            low, high = self.values
            return (IntDistribution if self.whole else FloatDistribution)(low, high, log=self.kind == "log")  # type: ignore[arg-type]
        except (ValueError, TypeError) as cause:
            what = f"{list(self.values)!r} ({self.kind}) is no range: {cause}"
            raise error("C302", what, "leave it out of `tune.params`", self.path) from cause


def ranges_of(resolved: Resolved, paths: Sequence[str]) -> tuple[Range, ...]:
    """The ranges declared at or below these paths, sorted by path."""
    found: list[Range] = []
    for path, bound in resolved.components.items():
        for name, about in type(bound.params).model_fields.items():
            extra = about.json_schema_extra
            search = extra.get("search") if isinstance(extra, Mapping) else None
            where = f"{path}.params.{name}"
            if isinstance(search, (list, tuple)) and is_below(where, *paths):
                kind, *values = search
                given = values[0] if kind == "choice" and isinstance(values[0], (list, tuple)) else values
                found.append(Range(where, str(kind), tuple(given), kind == "int" or about.annotation is int))
    return tuple(sorted(found))


def draw(ranges: Sequence[Range], trials: int, *place: object) -> tuple[Setting, ...]:
    """`trials` settings by Optuna's random sampler; a smaller search of the same place has the first of them.

    Each row, pair and repeat (`place`) has draws of its own; without ranges all settings are empty.
    """
    if not ranges:
        return tuple({} for _ in range(trials))
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = {one.path: one.distribution() for one in ranges}
    seed = int.from_bytes(hashlib.sha256(json.dumps(place).encode()).digest()[:4], "big")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    drawn = [study.ask(distributions).params for _ in range(trials)]
    return tuple(
        {one.path: one.values[params[one.path]] if one.kind == "choice" else params[one.path] for one in ranges} for params in drawn
    )


class Rule:
    """A selector as a rule between finished runs; C311 for one that reads more than posteriors of T_u."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        given = bound.params.model_dump(mode="json", exclude_unset=True)
        self.label = (bound.use or bound.full_name) + (f" {json.dumps(given)}" if given else "")
        selector = self._built(())
        reads = set(inspect.signature(selector.score).parameters)
        what, hint = "", "name one that scores the posteriors of T_u"
        if getattr(selector, "keeps_last", False) or "target" not in reads:
            what = "looks at epochs, not at a run's predictions"
        elif reads != {"target"}:
            what = f"reads {', '.join(sorted(reads - {'target'}))}, which a finished run does not keep"
        if what:
            raise error("C311", f"the selector '{self.label}' {what}", hint, bound.place)

    def score(self, record: Path, classes: tuple[str, ...]) -> float:
        """The mean over folds of the score of the posteriors in a record's checkpoints; T505 if there are none."""
        import torch
        from safetensors import SafetensorError, safe_open

        posteriors = []
        try:
            paths = sorted((record / "checkpoints").glob("fold-*.safetensors"), key=lambda each: int(each.stem.partition("-")[2]))
            for path in paths:
                with safe_open(path, framework="np") as file:
                    posteriors.append(torch.from_numpy(file.get_tensor("result/target")))
            if not posteriors:
                raise ValueError("it has no checkpoints")
        except (OSError, ValueError, SafetensorError) as cause:
            what = f"{record} does not hold the posteriors of T_u: {cause}"
            raise error("T505", what, "take it away; the next call runs it again") from cause
        selector = self._built(classes)
        return math.fsum(float(selector.score(target=fold)) for fold in posteriors) / len(posteriors)

    def _built(self, classes: tuple[str, ...]) -> Selector:
        selector: Selector = self.bound.build(BuildContext(id="select", classes=classes))
        return selector


@dataclass(frozen=True)
class Trial:
    """A setting and its job; trials of one setting share their job."""

    job: str
    setting: Setting


@dataclass(frozen=True)
class Place:
    """One cell of the table in one repeat, with its trials; a ceiling has one alone."""

    row: str
    pair: str
    seed: int
    classes: tuple[str, ...]
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Sweep:
    """A whole search; `planned` has all trials as jobs."""

    tune: Tune
    rule: Rule
    tuning: str
    places: tuple[Place, ...]
    planned: Planned = field(repr=False)

    @property
    def folder(self) -> Path:
        return self.planned.folder

    def write(self) -> None:
        self.planned.write_configs()
        write_json(self.folder / TRIALS, {"tuning": self.tuning, "places": list(map(asdict, self.places))})


def plan_sweep(config: str, flags: Flags) -> Sweep:
    """Plan the search of a `tune` section, or of flags; raises all problems together, P108 without Optuna."""
    if importlib.util.find_spec("optuna") is None:
        raise error("P108", "`sere sweep` needs the distribution 'optuna'", 'pip install "sere[sweep]"')
    request = read_request(config, flags)
    tune = request.comparison.tune
    if tune is None or tune.select is None:
        hint = "write `tune: {select: NAME}` or --select NAME; `sere plugins` lists the selectors"
        raise error("C311", "nothing says by which rule settings are chosen", hint, request.place("tune"))
    return _SweepPlanner(_tuned_request(request, tune), tune).sweep()


def _tuned_request(request: Request, tune: Tune) -> Request:
    """The comparison with the repeats as its seeds, in a folder of its own."""
    given = request.comparison
    if isinstance(given.seeds, int):
        seeds = list(range(tune.repeats))
    elif len(given.seeds) < tune.repeats:
        hint = "each repeat has a seed of its own: list more seeds, or ask for fewer repeats"
        raise error("C311", f"{tune.repeats} repeats, but {len(given.seeds)} seeds", hint, request.place("seeds"))
    else:
        seeds = list(given.seeds[: tune.repeats])
    name = f"{given.compare}-tuned"
    output = request.flags.out or (f"{given.output}-tuned" if given.output else f"runs/{name}")
    return replace(request, comparison=given.model_copy(update={"compare": name, "seeds": seeds, "output": output}))


class _SweepPlanner(Planner):
    def __init__(self, request: Request, tune: Tune) -> None:
        super().__init__(request)
        self.tune = tune

    def sweep(self) -> Sweep:
        rule, tune = self._rule(), self.tune
        places: list[Place] = []
        paths: dict[str, dict[str, None]] = {row.name: {} for row in self.rows}
        for cell in self.cells():
            name, ceiling = cell.row.name, cell.row.role == "ceiling"
            ranges = () if ceiling else ranges_of(cell.resolved, tune.params)
            paths[name] |= dict.fromkeys(one.path for one in ranges)
            for repeat, seed in enumerate(self.request.seeds):
                settings = draw(ranges, 1 if ceiling else tune.trials, name, cell.pair, repeat)
                trials = [Trial(job, setting) for setting in settings if (job := self._trial(cell, setting, seed))]
                places.append(Place(name, cell.pair, seed, cell.classes, tuple(trials)))
        searched = [path for each in paths.values() for path in each]
        for path in tune.params if "params" in tune.model_fields_set else ():
            if not any(is_below(one, path) for one in searched):
                hint = suggest(path, searched, "ranges that are searched")
                what = f"no row has a parameter with a range at or below '{path}'"
                self.problems.append(Problem("C308", what, hint, self.request.place("tune", "params")))
        self.stop()
        assert rule is not None  # else there was a problem
        tuning = f"random search, {tune.trials} trials, {rule.label}, {tune.repeats} repeats"
        rows = []
        for row in self.rows:
            mine = () if row.role == "ceiling" else (tuning, tuple(paths[row.name]))
            rows.append(Row(row.name, row.role, shortest([*row.varied, *paths[row.name]]), *mine))
        jobs = [Job(place.row, place.pair, place.seed, trial.job) for place in places for trial in place.trials]
        return Sweep(tune, rule, tuning, tuple(places), self.planned(rows, jobs))

    def _rule(self) -> Rule | None:
        """The selector, found and checked as if a run named it."""
        select = at(self.request.root, ("tune", "select"))
        assert select is not None
        block = Node({"use": select}, select.start, select.key) if isinstance(select.value, str) else select
        tree = self.rows[0].lay(laid(self.tree, self.pairs[0].layer))
        resolved = self.resolve(laid(tree, Node({"select": block}, select.start)))
        if resolved is not None:
            with noted(self.problems):
                return Rule(resolved.components["select"])
        return None

    def _trial(self, cell: Cell, setting: Setting, seed: int) -> str:
        """The job of one setting; "" if its config is wrong."""
        place = self.request.place("tune")
        values = [Value("", plain(value, replace(place, path=path)), path) for path, value in setting.items()]
        tried = self.cell(replace(cell.row, values=(*cell.row.values, *values)), cell.layer) if setting else cell
        return "" if tried is None else self.job(tried, seed)


@dataclass(frozen=True)
class Choice:
    """The chosen trial; a trial that diverged has no score."""

    place: Place
    scores: tuple[float | None, ...]
    chosen: int

    @property
    def trial(self) -> Trial:
        return self.place.trials[self.chosen]


def choose(sweep: Sweep) -> tuple[tuple[Choice, ...], tuple[tuple[Place, str], ...]]:
    """The best setting for each place; and the places without one, with the reason."""
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
        why = next((score for job in jobs if isinstance(score := scores[job], str)), "")
        mine = tuple(None if isinstance(score := scores[trial.job], str) else score for trial in place.trials)
        known = [score for score in mine if score is not None]
        if why or not known:
            without.append((place, why or "training diverged under every setting"))
        else:
            found.append(Choice(place, mine, mine.index(max(known))))  # the first of equals
    return tuple(found), tuple(without)


def _score(sweep: Sweep, place: Place, job: str) -> float | str | None:
    """The rule's score of a trial; None if it has lost; why there is none."""
    if is_done(sweep.folder, job):
        score = sweep.rule.score(record_of(sweep.folder, job), place.classes)
        return score if math.isfinite(score) else None
    code, line = read_failure(sweep.folder, job) or ("", f"job {job} is not done")
    return None if code in _LOST else line


def plan_of_choices(sweep: Sweep, choices: tuple[Choice, ...]) -> ComparePlan:
    """The plan of the table; a place without a choice gets a trial without a record: a gap."""
    chosen = {id(choice.place): choice.trial.job for choice in choices}
    jobs = []
    for place in sweep.places:
        job = chosen.get(id(place)) or next((trial.job for trial in place.trials if not is_done(sweep.folder, trial.job)), None)
        if job is not None:
            jobs.append(Job(place.row, place.pair, place.seed, job))
    return replace(sweep.planned.plan, jobs=tuple(jobs))


def write_choices(sweep: Sweep, choices: tuple[Choice, ...]) -> None:
    """Write `chosen.json`; X704 or X705."""
    listed = []
    for each in choices:
        place = {"row": each.place.row, "pair": each.place.pair, "seed": each.place.seed}
        listed.append({**place, "trial": each.chosen, **asdict(each.trial), "scores": each.scores})
    write_json(sweep.folder / CHOSEN, {"tuning": sweep.tuning, "places": listed})


def show_choices(sweep: Sweep, choices: Sequence[Choice], results: Results, speaker: Speaker) -> None:
    """What was chosen, and how much the whole search varies from repeat to repeat."""
    if speaker.quiet:
        return
    tuned = [choice for choice in choices if choice.trial.setting]
    if tuned:
        speaker.say("\nchosen, by the rule's score on T_u")
        table = grid("row", "pair", "seed", "trial", "score", "setting")
        for choice in tuned[:_MANY_CHOICES]:
            place, score = choice.place, choice.scores[choice.chosen]
            words = ("-" if score is None else f"{score:.4f}", _words(choice.trial.setting))
            cells = (place.row, place.pair, str(place.seed), f"{choice.chosen + 1}/{len(place.trials)}", *words)
            table.add_row(*(Text(cell, overflow="fold") for cell in cells))
        speaker.console.print(table)
        speaker.say(f"all of them: {CHOSEN}")
    lines = _spread_lines(results)
    if lines:
        speaker.say(f"\nthe whole search, {sweep.tune.repeats} times: UAR in %, mean over pairs, by repeat")
        for line in lines:
            speaker.say(line)


def _spread_lines(results: Results) -> list[str]:
    found, plan = [], results.plan
    for row in plan.rows:
        uars = {(pair, seed): run.uar for (name, pair, seed), run in results.runs.items() if name == row.name and run.scored}
        if row.role == "ceiling" or len(uars) < len(plan.pairs) * len(plan.seeds):
            continue
        repeats = [fmean(uars[pair, seed] for pair in plan.pairs) for seed in plan.seeds]
        whole = spread(repeats)
        deviation = "" if whole.std is None else f" ± {100 * whole.std:.1f}"
        found.append(f"  {row.name}: {100 * whole.mean:.1f}{deviation}  ({' '.join(f'{100 * one:.1f}' for one in repeats)})")
    return found


def _words(setting: Mapping[str, object]) -> str:
    return ", ".join(
        f"{path.replace('.params.', '.').partition('.')[2]}={f'{value:.3g}' if isinstance(value, float) else value}"
        for path, value in setting.items()
    )
