"""A search over the rows of a comparison: settings drawn for every row, their jobs, and the choice."""

from __future__ import annotations

import importlib.util
import inspect
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean

from rich.text import Text

from sere_core.compare.grammar import Flags, Request, Tune, read_request
from sere_core.compare.plan import ComparePlan, Job, Row, is_done, read_failure, record_of, write_json
from sere_core.compare.planning import Cell, Planned, Planner
from sere_core.compare.progress import grid
from sere_core.compare.proof import is_below
from sere_core.compare.reading import Results
from sere_core.compare.rows import Overlay, Value, laid, shortest
from sere_core.compare.spaces import BUDGET, MACHINE, SECTIONS, Range, Setting, annotation_of, decider, draw, ranges_of
from sere_core.compare.stats.summary import spread
from sere_core.config.model import RunConfig
from sere_core.config.nodes import Node, at, dotted, leaves, noted, plain
from sere_core.config.resolved import Bound
from sere_core.console import Speaker
from sere_core.score.records import checkpoint_of, read_done
from sere_registry import BuildContext, Selector
from sere_registry.catalog import Catalog
from sere_registry.errors import Place as ConfigPlace
from sere_registry.errors import Problem, SereError, error, suggest
from sere_registry.protocols import KEPT
from sere_registry.spec import BY_TARGET_LABELS

TRIALS, CHOSEN = "trials.json", "chosen.json"
#: a setting under which training diverges has lost; any other failure says nothing about the setting
_LOST = ("T501",)
_MANY_CHOICES = 24
_OPTIMIZER = "train.optimizer.params"


class Rule:
    """A selector as a rule between finished runs, which keep posteriors of T_u, and what else is read where the task holds
    labelled source utterances out (`task.validation`); C311 for a selector that reads more.
    """

    def __init__(self, bound: Bound, validated: bool) -> None:
        self.bound = bound
        given = bound.params.model_dump(mode="json", exclude_unset=True)
        self.label = (bound.use or bound.full_name) + (f" {json.dumps(given)}" if given else "")
        selector = self._built(())
        self._reads = frozenset(inspect.signature(selector.score).parameters)
        kept = KEPT if validated else frozenset({"target"})
        what, hint = "", "name one that scores the posteriors of T_u"
        if BY_TARGET_LABELS in bound.spec.tags:
            what = "chooses by labels of the target, which no search may read"
        elif getattr(selector, "keeps_last", False) or self._reads.isdisjoint(KEPT):
            what = "looks at epochs, not at a run's predictions"
        elif lost := sorted(self._reads - kept):
            what = f"reads {', '.join(lost)}, which a finished run does not keep"
            hint += "" if lost[0] not in KEPT else "; with `set: {task: {validation: 5}}`, say, runs keep it"
        if what:
            raise error("C311", f"the selector '{self.label}' {what}", hint, bound.place)

    def score(self, record: Path, classes: tuple[str, ...]) -> float:
        """The mean over folds of the score of what the checkpoints of a record keep.

        Raises:
            SereError: T505 if there is none; C311 for a rule that reads the source, and a method whose last stage may not see it.
        """
        import torch
        from safetensors import SafetensorError, safe_open

        kept = list[dict[str, torch.Tensor]]()
        try:
            folds = sum(name.startswith("checkpoints/") for name in read_done(record))
            for fold in range(folds):
                with safe_open(checkpoint_of(record, fold), framework="np") as file:
                    there = {name.removeprefix("result/") for name in file.keys()}  # noqa: SIM118  (not a mapping)
                    if "target" in there and not self._reads <= there:
                        what = f"the selector '{self.label}' reads the source, which the last stage of the method of {record} may not see"
                        raise error("C311", what, "name one that scores the posteriors of T_u", self.bound.place)
                    kept.append({name: torch.from_numpy(file.get_tensor(f"result/{name}")) for name in self._reads})
            if not kept:
                raise ValueError("it has no checkpoints")
        except (OSError, ValueError, SafetensorError) as cause:
            what = f"{record} does not hold the posteriors of T_u: {cause}"
            raise error("T505", what, "take it away; the next call runs it again") from cause
        selector = self._built(classes)
        return math.fsum(float(selector.score(**fold)) for fold in kept) / len(kept)

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


def plan_sweep(config: str, flags: Flags, *, start: bool = True, trust: bool = False) -> Sweep:
    """Plan the search of a `tune` section, or of flags; raises all problems together, P108 without Optuna.

    `start` and `trust` as in `plan_comparison`; what a file lets be searched is known when the search starts: P109 before.
    """
    if importlib.util.find_spec("optuna") is None:
        raise error("P108", "`sere sweep` needs the distribution 'optuna'", 'pip install "sere[sweep]"')
    request = read_request(config, flags)
    tune = request.comparison.tune
    if tune is None or tune.select is None:
        hint = "write `tune: {select: NAME}` or --select NAME; `sere plugins` lists the selectors"
        raise error("C311", "nothing says by which rule settings are chosen", hint, request.place("tune"))
    planner = _SweepPlanner(_tuned_request(request, tune), tune)
    planner.cells()
    planner._rule()
    if planner.unread and not start:
        planner.stop()
        files = sorted({bound.distribution for each in planner.unread for bound in each.unread.values()})
        what = f"all else is right; what is searched in {', '.join(files)} is known when the sweep starts"
        raise error("P109", what, "a dry run imports no file", request.place("tune"))
    catalog = planner.to_start(trust)
    return (planner if catalog is None else _SweepPlanner(planner.request, tune, catalog)).sweep()


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
    def __init__(self, request: Request, tune: Tune, catalog: Catalog | None = None) -> None:
        super().__init__(request, catalog)
        self.tune = tune

    def sweep(self) -> Sweep:
        self._check_params()
        rule, tune = self._rule(), self.tune
        found = [(cell, self._ranges(cell)) for cell in self.cells()]
        if oracles := sorted({cell.row.name for cell, _ in found if cell.resolved.oracle}):
            what = f"the epochs of {', '.join(oracles)} are chosen by labels of the target, and a search has no part in that"
            self.problems.append(Problem("C311", what, "use another selector in `select`", self.request.place("tune")))
        self._check_searched([cell for cell, _ in found], [one.path for _, ranges in found for one in ranges])
        self.stop()
        places: list[Place] = []
        spaces: dict[str, dict[str, str]] = {row.name: {} for row in self.rows}
        same: dict[str, tuple[Range, ...]] = {}
        for cell, ranges in found:
            name, ceiling = cell.row.name, cell.row.role == "ceiling"
            if tune.per == "row" and ranges != (first := same.setdefault(name, ranges)):
                path = next(one.path for one in (*ranges, *first) if one not in ranges or one not in first)
                what = f"'{path}' has other ranges in {cell.pair} than in other pairs of {name}, which are to have one setting"
                self.problems.append(Problem("C311", what, "say `per: pair`, or give one range in `params`", self.request.place("tune")))
            for one in ranges:
                known = spaces[name].setdefault(one.path, str(one))
                spaces[name][one.path] = known if str(one) in known.split(" or ") else f"{known} or {one}"  # of another pair
            for repeat, seed in enumerate(self.request.seeds):
                drawn = () if ceiling else draw(ranges, tune.trials - 1, name, cell.pair if tune.per == "pair" else "", repeat)
                trials = [Trial(job, setting) for setting in ({}, *drawn) if (job := self._trial(cell, setting, seed))]
                places.append(Place(name, cell.pair, seed, cell.classes, tuple(trials)))
        self.stop()
        assert rule is not None  # else there was a problem
        alike = ", one setting for all pairs" if tune.per == "row" else ""
        tuning = f"random search, {tune.trials} trials, {rule.label}, {tune.repeats} repeats{alike}"
        rows = []
        for row in self.rows:
            space = dict(sorted(spaces[row.name].items()))
            mine = () if row.role == "ceiling" else (tuning, space, tune.trials)
            rows.append(Row(row.name, row.role, shortest([*row.varied, *space]), *mine))
        jobs = [Job(place.row, place.pair, place.seed, trial.job) for place in places for trial in place.trials]
        return Sweep(tune, rule, tuning, tuple(places), self.planned(rows, jobs))

    def _ranges(self, cell: Cell) -> tuple[Range, ...]:
        if cell.row.role == "ceiling":
            return ()
        try:
            return ranges_of(cell.resolved, self.tune.wanted, _own(cell.row))
        except SereError as cause:
            self.problems += [replace(each, place=self._place(each.place.path)) for each in cause.problems]
            return ()

    def _place(self, path: str) -> ConfigPlace:
        """Where `tune.params` names a path: as a key, or in a list."""
        index = path if isinstance(self.tune.params, dict) else str(self.tune.params.index(path)) if path in self.tune.params else ""
        return self.request.place("tune", "params", *filter(None, [index]))

    def _check_params(self) -> None:
        """Refuse what no search may move."""
        free = at(self.tree, ("train", "steps_per_epoch")) is None
        for path, given in self.tune.wanted.items():
            what, hint = "", "leave it out"
            if path.endswith(".use"):
                what, hint = f"'{path}' names a component, and a search moves settings", "write a row for each, or an axis in `vary`"
            elif path in BUDGET:
                what = f"'{path}' is the budget, which is the same for every row and every trial"
            elif path.partition(".")[0] not in SECTIONS and path.partition(".")[0] in RunConfig.model_fields:
                what = f"'{path}' is the protocol, which is the same for every row and every trial"
            elif path in MACHINE:
                what = f"'{path}' says how a run is made, not what it learns"
            elif free and given is not False and path == decider(self.tune.wanted, "train.batch.target"):
                what = f"an epoch is one pass over T_u, so the batch of T_u moves the budget; '{path}' searches it"
                hint = "say `budget: {steps_per_epoch: N}`, or search `train.batch.labelled` and `train.batch.source` alone"
            if what:
                self.problems.append(Problem("C311", what, hint, self._place(path)))

    def _check_searched(self, cells: Sequence[Cell], searched: Sequence[str]) -> None:
        """C308 for what no row has; C311 for what has no range in any row, or is set by every row that has it."""
        for path, given in self.tune.wanted.items() if "params" in self.tune.model_fields_set else ():
            found = any(annotation_of(cell.resolved, path) is not None for cell in cells)
            if not found:
                every = dict.fromkeys(SECTIONS, True)
                hint = suggest(path, {one.path: None for cell in cells for one in ranges_of(cell.resolved, every)}, "ranges")
                self.problems.append(Problem("C308", f"no row has '{path}'", hint, self._place(path)))
            elif given is not False and not any(is_below(one, path) for one in searched):
                what = f"no row searches anything at or below '{path}': it has no range there, sets it itself, or does not train by it"
                hint = f"give a range: `params: {{{path}: [log, LOW, HIGH]}}`"
                self.problems.append(Problem("C311", what, hint, self._place(path)))

    def _rule(self) -> Rule | None:
        """The selector, found and checked as if a run named it."""
        select = at(self.request.root, ("tune", "select"))
        assert select is not None
        block = Node({"use": select}, select.start, select.key) if isinstance(select.value, str) else select
        tree = self.rows[0].lay(laid(self.tree, self.pairs[0].layer))
        resolved = self.resolve(laid(tree, Node({"select": block}, select.start)))
        if resolved is not None and not resolved.components["select"].unread:
            with noted(self.problems):
                return Rule(resolved.components["select"], bool(resolved.config.task.validation))
        return None

    def _trial(self, cell: Cell, setting: Setting, seed: int) -> str:
        """The job of one setting; "" if its config is wrong."""
        whole = dict(setting)
        if any(is_below(path, _OPTIMIZER) for path in setting):  # beside one that is drawn the others keep their defaults
            whole = {_OPTIMIZER: cell.resolved.config.train.optimizer.params, **setting}
        values = [Value("", plain(value, replace(self._place(path), path=path)), path) for path, value in whole.items()]
        tried = self.cell(replace(cell.row, values=(*cell.row.values, *values)), cell.layer) if setting else cell
        return "" if tried is None else self.job(tried, seed)


def _own(row: Overlay) -> list[str]:
    """The paths that a row sets itself, in its overlay or as values of axes; a `use` sets none of its component's parameters."""
    layers = [row.layer, *(value.node for value in row.values if value.path is None)]
    found = [dotted(path) for layer in layers for path, _ in leaves(layer.data()) if path[-1:] != ("use",)]
    return [*filter(None, found), *(value.path for value in row.values if value.path is not None)]


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
    """The best setting for each place, or for all places of a row and seed (`per: row`); and the places without one, with the reason."""
    scores: dict[str, float | str | None] = {}
    found, without = list[Choice](), list[tuple[Place, str]]()
    alike: dict[tuple[str, ...], list[Place]] = defaultdict(list)
    for place in sweep.places:
        alike[place.row, str(place.seed), place.pair if sweep.tune.per == "pair" else ""].append(place)
    for places in alike.values():
        jobs = [list(dict.fromkeys(trial.job for trial in place.trials)) for place in places]
        if all(len(mine) == 1 and is_done(sweep.folder, mine[0]) for mine in jobs):
            found += [Choice(place, (None,) * len(place.trials), 0) for place in places]
            continue
        for place, mine in zip(places, jobs, strict=True):
            scores |= {job: _score(sweep, place, job) for job in mine if job not in scores}
        tried = [[scores[trial.job] for trial in place.trials] for place in places]
        why = next((score for each in tried for score in each if isinstance(score, str)), "")
        numbers = [tuple(None if isinstance(score, str) else score for score in each) for each in tried]
        #: of each trial the mean over places; one that diverged in any of them has lost
        means = [None if None in each else fmean(each) for each in zip(*numbers, strict=True)]  # type: ignore[arg-type]
        known = [mean for mean in means if mean is not None]
        if why or not known:
            without += [(place, why or "training diverged under every setting") for place in places]
        else:
            chosen = means.index(max(known))  # the first of equals
            found += [Choice(place, mine, chosen) for place, mine in zip(places, numbers, strict=True)]
    return tuple(found), tuple(without)


def _score(sweep: Sweep, place: Place, job: str) -> float | str | None:
    """The rule's score of a trial; None if it has lost; why there is none."""
    if is_done(sweep.folder, job):
        try:
            score = sweep.rule.score(record_of(sweep.folder, job), place.classes)
        except SereError as cause:
            if cause.problems[0].code != "C311":
                raise
            return str(cause.problems[0].message)
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
    tuned = [choice for choice in choices if any(trial.setting for trial in choice.place.trials)]
    if tuned:
        decided = ", here of each pair: the mean over pairs decides" if sweep.tune.per == "row" else ""
        speaker.say(f"\nchosen, by the rule's score on T_u{decided}")
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
    named = (
        f"{path.replace('.params.', '.').partition('.')[2]}={f'{value:.3g}' if isinstance(value, float) else value}"
        for path, value in setting.items()
    )
    return ", ".join(named) or "the row's own"
