"""From a request to the trials of a sweep: every trial's complete config, checked before the first one starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sere_core.compare.asked import Inputs
from sere_core.compare.asking import asked_text, command_of
from sere_core.compare.grammar import Flags, Request, Tune, read_request
from sere_core.compare.places import job_file, write_if_new, write_json
from sere_core.compare.plan import ComparePlan, Job, Role, Row
from sere_core.compare.planning import Planner, seeded
from sere_core.compare.portable import job_text, with_seed
from sere_core.compare.rows import Overlay, Pair, Value, laid, pairs_of, plain, rows_of, shortest
from sere_core.compare.sweep.draws import Setting, check_installed, draw, seed_of
from sere_core.compare.sweep.rule import Rule
from sere_core.compare.sweep.space import ranges_of, unused
from sere_core.config import Resolved
from sere_core.config.nodes import Node
from sere_registry.errors import Problem, error, suggest

TRIALS = "trials.json"


@dataclass(frozen=True)
class Trial:
    """A setting and the job that tries it; two trials of one setting share their job."""

    job: str
    setting: Setting


@dataclass(frozen=True)
class Place:
    """One cell of the table in one repeat, and its search.

    Args:
        row, role, pair, seed: of the cell; the seed is the repeat's.
        classes: of the pair.
        trials: in the order of the draw; one alone for a ceiling, which is not tuned.
    """

    row: str
    role: Role
    pair: str
    seed: int
    classes: tuple[str, ...]
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Sweep:
    """A whole search, ready to be run.

    Args:
        tune: how it is made.
        rule: what chooses.
        tuning: the same in words, for the table.
        places: all cells.
        plan: with all trials as its jobs, for running them; what is chosen from them makes the plan of the table.
        configs: job -> its config's text.
        inputs: what all of it was made of.
        text: the comparison as it was asked for.
        folder: where all of it goes.
        warnings: what is odd but no error.
    """

    tune: Tune
    rule: Rule
    tuning: str
    places: tuple[Place, ...]
    plan: ComparePlan
    configs: Mapping[str, str] = field(repr=False)
    inputs: Inputs = field(repr=False)
    text: str = field(repr=False)
    folder: Path
    warnings: tuple[str, ...]

    def write(self) -> None:
        """Write the configs of all trials, and which setting each of them tries.

        Raises:
            SereError: X704 or X705.
        """
        for job, config in self.configs.items():
            write_if_new(job_file(self.folder, job), config.encode())
        write_if_new(self.folder / "compare.yaml", self.text.encode())
        self.inputs.write(self.folder)
        listed = [
            {
                "row": place.row,
                "pair": place.pair,
                "seed": place.seed,
                "trials": [{"job": trial.job, "setting": dict(trial.setting)} for trial in place.trials],
            }
            for place in self.places
        ]
        write_json(self.folder / TRIALS, {"tuning": self.tuning, "places": listed})


def plan_sweep(config: str, flags: Flags) -> Sweep:
    """Plan the search that a comparison's `tune` section, or the flags, ask for.

    Args:
        config: a comparison file, a run's config, or the name of one that comes with sere.
        flags: what the command line adds.

    Raises:
        SereError: the problems of the file, or of all trials together; P108 without Optuna.
    """
    check_installed()
    request = read_request(config, flags)
    tune = request.comparison.tune
    if tune is None or tune.select is None:
        hint = "write `tune: {select: NAME}` or --select NAME; `sere plugins` lists the selectors"
        raise error("C311", "nothing says by which rule settings are chosen", hint, request.place("tune"))
    tuned = _tuned_request(request, tune)
    return _SweepPlanner(tuned, tune).whole_sweep(command_of(request, flags))


def _tuned_request(request: Request, tune: Tune) -> Request:
    """The comparison with the repeats as its seeds, in a folder of its own beside that of the rows as they are."""
    asked = request.comparison
    if isinstance(asked.seeds, int):
        seeds = list(range(tune.repeats))
    elif len(asked.seeds) < tune.repeats:
        hint = "each repeat has a seed of its own: list more seeds, or ask for fewer repeats"
        raise error("C311", f"{tune.repeats} repeats, but {len(asked.seeds)} seeds", hint, request.place("seeds"))
    else:
        seeds = list(asked.seeds[: tune.repeats])
    name = f"{asked.compare}-tuned"
    output = request.flags.out or (f"{asked.output}-tuned" if asked.output else f"runs/{name}")
    return replace(request, comparison=asked.model_copy(update={"compare": name, "seeds": seeds, "output": output}))


class _SweepPlanner(Planner):
    """Makes the configs of all trials."""

    def __init__(self, request: Request, tune: Tune) -> None:
        super().__init__(request)
        self.tune = tune
        self.configs: dict[str, str] = {}
        self.places: list[Place] = []
        self.paths: dict[str, dict[str, None]] = {}
        self.bases: list[Resolved] = []

    def whole_sweep(self, command: Mapping[str, Any]) -> Sweep:
        """Every row, pair and repeat."""
        request = self.request
        tree = self.common()
        rows = rows_of(request, tree, self.problems)
        pairs = pairs_of(request, tree, self.problems) or [Pair("", Node({}, request.root.start))]
        if not rows:
            self.stop()
        self.check_budget(rows, tree)
        rule = self._rule(tree, pairs[0], rows[0])
        for row in rows:
            for pair in pairs:
                self._search(tree, row, pair)
        self._check_paths()
        self.stop()
        self.check_roles(rows)
        assert rule is not None  # else there was a problem
        rule.check()
        tuning = f"random search, {self.tune.trials} trials, {rule.label}, {self.tune.repeats} repeats"
        inputs = self.inputs(command)
        train = self.bases[0].config.train
        plan = ComparePlan(
            name=request.comparison.compare,
            rows=tuple(self._row(row, tuning) for row in rows),
            pairs=tuple(dict.fromkeys(place.pair for place in self.places)),
            seeds=request.seeds,
            jobs=tuple(Job(place.row, place.pair, place.seed, trial.job) for place in self.places for trial in place.trials),
            reference=self.reference(rows),
            allow=tuple(request.comparison.allow),
            budget={key: getattr(train, key) for key in ("epochs", "steps_per_epoch")},
            asked=inputs.digest(),
        )
        text, warnings = asked_text(request), tuple(self.warnings)
        return Sweep(self.tune, rule, tuning, tuple(self.places), plan, self.configs, inputs, text, request.output, warnings)

    def _rule(self, tree: Node, pair: Pair, row: Overlay) -> Rule | None:
        """The selector, found and checked as if a run named it."""
        given = self.request.root.child("tune")
        select = given.child("select") if given is not None else None
        assert select is not None
        block = Node({"use": select}, select.start, select.key) if isinstance(select.value, str) else select
        layer = Node({"select": block}, select.start)
        resolved = self.resolve(laid(row.lay(laid(tree, pair.layer)), layer))
        return None if resolved is None else Rule(resolved.components["select"])

    def _search(self, tree: Node, row: Overlay, pair: Pair) -> None:
        """All repeats of one row and pair."""
        resolved = self.resolved(tree, row, pair)
        task = None if resolved is None else self.task(resolved[1])
        if resolved is None or task is None:
            return
        base, own = resolved
        name = pair.name or f"{own.config.task.source}>{own.config.task.target}"
        ranges = () if row.role == "ceiling" else ranges_of(base, self.tune.params)
        if row.role != "ceiling":
            self.bases.append(base)
        self.paths.setdefault(row.name, {}).update(dict.fromkeys(one.path for one in ranges))
        for repeat, seed in enumerate(self.request.seeds):
            count = 1 if row.role == "ceiling" else self.tune.trials
            settings = draw(ranges, count, seed_of(row.name, name, repeat))
            jobs = [self._trial(tree, row, pair, base, setting, seed) for setting in settings]
            trials = tuple(Trial(job, setting) for job, setting in zip(jobs, settings, strict=True) if job)
            self.places.append(Place(row.name, row.role, name, seed, tuple(task.task.classes), trials))

    def _trial(self, tree: Node, row: Overlay, pair: Pair, base: Resolved, setting: Setting, seed: int) -> str:
        """The job of one setting; "" if its config is wrong."""
        resolved: Resolved | None = base
        if setting:
            place = self.request.place("tune")
            values = [Value("", plain(value, replace(place, path=path)), path) for path, value in setting.items()]
            both = self.resolved(tree, replace(row, values=(*row.values, *values)), pair)
            resolved = None if both is None else both[0]
        if resolved is None:
            return ""
        one = seeded(resolved, seed)
        job = one.digest()
        if job not in self.configs:
            self.configs[job] = with_seed(job_text(one), seed)
            self.check_task(one, job)
        return job

    def _check_paths(self) -> None:
        """Every path that was named is searched in some row."""
        named = "params" in self.tune.model_fields_set
        for path, why in unused(self.bases, self.tune.params).items() if named else ():
            known = [one for paths in self.paths.values() for one in paths]
            hint = suggest(path, known, "ranges that are searched")
            self.problems.append(Problem("C308", f"'{path}' {why}", hint, self.request.place("tune", "params")))

    def _row(self, row: Overlay, tuning: str) -> Row:
        if row.role == "ceiling":
            return Row(row.name, row.role, row.varied)
        tuned = tuple(self.paths.get(row.name, ()))
        return Row(row.name, row.role, shortest([*row.varied, *tuned]), tuning, tuned)
