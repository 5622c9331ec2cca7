"""From a comparison file to its plan: rows, pairs, and every job's complete config, checked."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from pydantic import BaseModel

from sere_core.compare.crew import bound_executor
from sere_core.compare.grammar import Flags, Request, read_request
from sere_core.compare.jobs import forget_failure
from sere_core.compare.plan import ComparePlan, Job, Row, job_file
from sere_core.compare.proof import is_below
from sere_core.compare.rows import Overlay, Pair, gaps_of, laid, pairs_of, rows_of
from sere_core.compare.work import Needs, write_work
from sere_core.config import Resolved
from sere_core.config.loader import resolve
from sere_core.config.merge import apply
from sere_core.config.nodes import Node, at, noted, plain, tidy
from sere_core.config.resolved import Bound
from sere_core.config.source_code import check_factories
from sere_core.config.yaml_text import write
from sere_core.content import Contents
from sere_core.identity import Identity, identify, others
from sere_core.plan import Plan, importing, make_plans
from sere_registry.catalog import Catalog
from sere_registry.errors import Place, Problem, SereError, counted, error
from sere_registry.files import cache_folder, expanded, write_atomically

_SEED = re.compile(r"(?m)^seed: [0-9]+$")


@dataclass(frozen=True)
class Planned:
    """A plan that is ready to be written, with each job's config."""

    plan: ComparePlan
    folder: Path
    resolved: Mapping[str, Resolved] = field(repr=False)
    configs: Mapping[str, str] = field(repr=False)
    text: str = field(repr=False)
    warnings: tuple[str, ...]
    needs: Needs
    executor: Bound = field(repr=False)

    def write_configs(self) -> None:
        """Write what workers need: the configs and the comparison where they have changed; a job that failed is open again."""
        texts = {job_file(self.folder, job): config for job, config in self.configs.items()}
        for path, text in (texts | {self.folder / "compare.yaml": self.text}).items():
            if not path.is_file() or path.read_bytes() != text.encode():
                write_atomically(path, text.encode())
        for job in self.plan.missing_jobs(self.folder):
            forget_failure(self.folder, job)
        write_work(self.folder, self.plan.in_order(), self.needs)

    def write(self) -> None:
        self.write_configs()
        self.plan.write(self.folder)

    def write_over(self) -> None:
        """Write the plan, whose runs the folder has: with another reference or margin than before, or fewer rows, say.

        Raises:
            SereError: T505 where runs are planned that nobody was asked to run.
        """
        new = len({job.job for job in self.plan.jobs if not job_file(self.folder, job.job).is_file()})
        if new:
            hint = f"without --collect they are run; `sere table {self.folder}` tells what was run before"
            raise error("T505", f"of this comparison {counted(new, 'run')} nobody was asked for, in {self.folder}", hint)
        self.plan.write(self.folder)


def plan_comparison(config: str, flags: Flags, *, start: bool = True, trust: bool = False) -> Planned:
    """Plan every job; raises all problems together and writes nothing.

    Args:
        config, flags: what is asked for.
        start: will the jobs be run?  Then `file:` components are imported, when all else is right.
        trust: may files outside the folder of the comparison be imported?
    """
    request = read_request(config, flags)
    if request.comparison.tune is not None:
        hint = "`sere sweep` does that and prints their table; to compare the rows as they are, take `tune` away"
        raise error("C311", "the settings of these rows are to be searched", hint, request.place("tune"))
    planner = Planner(request)
    planned = planner.comparison()
    catalog = planner.to_start(trust) if start else None
    return planned if catalog is None else Planner(request, catalog).comparison()


@dataclass(frozen=True)
class Cell:
    """One row and pair: its config in the pair's classes, and that as text."""

    row: Overlay
    layer: Pair
    pair: str
    classes: tuple[str, ...]
    resolved: Resolved
    text: str


class Planner:
    """Makes the configs of a request's jobs, and gathers all problems."""

    def __init__(self, request: Request, catalog: Catalog | None = None) -> None:
        self.request = request
        self.catalog = catalog or Catalog()
        self.problems: list[Problem] = []
        self.warnings: dict[str, None] = dict.fromkeys(map(str, self.catalog.left_out_in_vain()))
        self.resolved: dict[str, Resolved] = {}
        self.configs: dict[str, str] = {}
        self.unread: list[Resolved] = []
        self.identities: dict[str, Identity] = {}
        self._tasks: dict[tuple[str, int], Plan | None] = {}
        self._digests: dict[Path, Contents] = {}
        self._cells: list[Cell] | None = None
        self.tree = self._common()
        self.rows = rows_of(request, self.tree, self.problems)
        self.pairs = pairs_of(request, self.tree, self.problems) or [Pair("", Node({}, request.root.start))]
        if not self.rows:
            self.stop()
        self._check_budget()
        with noted(self.problems):
            self.executor = bound_executor(request, self.catalog)

    def comparison(self) -> Planned:
        jobs = [Job(cell.row.name, cell.pair, seed, self.job(cell, seed)) for cell in self.cells() for seed in self.request.seeds]
        return self.planned([Row(row.name, row.role, row.varied) for row in self.rows], jobs)

    def planned(self, rows: Sequence[Row], jobs: Sequence[Job]) -> Planned:
        """The whole, of these jobs; raises everything that is wrong with any of them."""
        self.stop()
        request, comparison = self.request, self.request.comparison
        for role in ("floor", "ceiling"):
            if not any(row.role == role for row in rows):
                self.warnings[f"this table has no {role}: name a row in `{role}`"] = None
        self.warnings |= dict.fromkeys(self._changed())
        train = next(iter(self.resolved.values())).config.train
        plan = ComparePlan(
            name=comparison.compare,
            rows=tuple(rows),
            pairs=tuple(dict.fromkeys(job.pair for job in jobs)),
            seeds=request.seeds,
            jobs=tuple(jobs),
            reference=self._reference(),
            allow=tuple(comparison.allow),
            budget={"epochs": train.epochs, "steps_per_epoch": train.steps_per_epoch},
            margin=comparison.margin,
            gap=gaps_of(request, self.rows),
        )
        texts = request.text(), tuple(self.warnings)
        return Planned(plan, request.output, self.resolved, self.configs, *texts, self._needs(), self.executor)

    def to_start(self, trust: bool) -> Catalog | None:
        """The catalog that imports the files which the configs name; None where they name none; P109 where it may not."""
        self.stop()
        sources = self.request.sources
        for each in self.unread:
            with noted(self.problems):
                each.check_trust(trust, sources.folders.get(self.request.root.start.file, sources.files[0].parent))
        self.stop()
        return importing(*self.unread) if self.unread else None

    def _changed(self) -> Iterator[str]:
        """What finished runs of the same configs were made of that is not what is there now."""
        planned = {identity.config: identity for identity in self.identities.values()}
        changes = (", ".join(changes) for _, changes in others(self.request.output / "records", planned, self.identities))
        for what, count in Counter(changes).items():
            yield f"{counted(count, 'run')} of this comparison stand aside, since this has changed: {what}"

    def stop(self) -> None:
        if self.problems:
            raise SereError(*tidy(self.problems))

    def cells(self) -> list[Cell]:
        """All that can be made, once."""
        if self._cells is None:
            self._cells = [cell for row in self.rows for pair in self.pairs if (cell := self.cell(row, pair))]
        return self._cells

    def cell(self, row: Overlay, pair: Pair) -> Cell | None:
        """None if something is wrong; a ceiling's config names the target as its source."""
        tree: Node | None = None
        with noted(self.problems):
            tree = row.lay(laid(self.tree, pair.layer))
        resolved = self.resolve(tree) if tree is not None else None
        planned = self._task(resolved) if resolved is not None else None
        if tree is None or resolved is None or planned is None:
            return None
        name, task = pair.name or f"{resolved.config.task.source}>{resolved.config.task.target}", planned.task
        if row.role == "ceiling":
            place = next(iter(pair.layer.value.values())).start if pair.layer.value else self.request.root.start
            own = {"task": {"source": task.target, "classes": list(task.classes)}}
            resolved = self.resolve(laid(tree, plain(own, place)))
        return None if resolved is None else Cell(row, pair, name, tuple(task.classes), resolved, _job_text(resolved))

    def resolve(self, tree: Node) -> Resolved | None:
        """A tree as a checked config, with the corpora of its own pair."""
        request = self.request
        here = replace(request.root.start, line=None, column=None)
        ends = {getattr(at(tree, ("task", end)), "value", None) for end in ("source", "target")}
        corpora = tree.child("corpora")
        more = {
            "name": Node(request.comparison.compare, here),
            "seed": Node(request.seeds[0], here),
            "output": Node({"dir": Node(str(request.output / "records"), here)}, here),
        }
        if corpora is not None and isinstance(corpora.value, dict) and ends <= set(corpora.value):
            more["corpora"] = replace(corpora, value={name: child for name, child in corpora.value.items() if name in ends})
        with noted(self.problems):
            resolved = resolve(_anchored(replace(tree, value={**tree.value, **more})), request.sources, self.catalog, os.environ)
            check_factories(resolved)  # now, not in every job
            self.warnings |= dict.fromkeys(f"{each.place}: {each.message}" for each in resolved.warnings)
            self.warnings |= dict.fromkeys(map(str, self.catalog.left_out_in_vain(resolved.disabled)))
            if resolved.unread:
                self.unread.append(resolved)
                files = sorted({bound.distribution for bound in resolved.unread.values()})
                self.warnings |= dict.fromkeys(
                    f"{file} is imported when the runs start: none of its runs is known before" for file in files
                )
            return resolved
        return None

    def job(self, cell: Cell, seed: int) -> str:
        """The job with a seed, "" where its folds are not possible."""
        one = replace(cell.resolved, config=cell.resolved.config.model_copy(update={"seed": seed}))
        plan = self._task(one)
        if plan is None:
            return ""
        identity = identify(plan, one)
        self.identities[identity.name] = identity
        self.configs.setdefault(identity.name, _SEED.sub(f"seed: {seed}", cell.text, count=1))
        self.resolved.setdefault(identity.name, one)
        return identity.name

    def _task(self, resolved: Resolved) -> Plan | None:
        """Corpora and folds, made once for all configs that share them."""
        data = resolved.config.model_dump(mode="json", include={"task", "corpora", "paths"})
        seeds, key = list(dict.fromkeys((*self.request.seeds, resolved.config.seed))), json.dumps(data, sort_keys=True)
        if (key, resolved.config.seed) not in self._tasks:
            self._tasks |= {(key, seed): None for seed in seeds}
            with noted(self.problems):
                plans = make_plans(resolved, self._contents(resolved), seeds)
                self._tasks |= {(key, seed): plan for seed, plan in zip(seeds, plans, strict=True)}
                self.warnings |= dict.fromkeys(warning for plan in plans for warning in plan.warnings)
        return self._tasks[key, resolved.config.seed]

    def _contents(self, resolved: Resolved) -> Contents:
        folder = cache_folder(resolved.config.features.cache)
        return self._digests.setdefault(folder, Contents(folder))

    def _common(self) -> Node:
        request = self.request
        tree = laid(request.base, request.root.child("set") or Node({}, request.root.start))
        budget = request.root.child("budget")
        if budget is not None and budget.value:
            tree = laid(tree, Node({"train": budget}, budget.start))
        return apply(tree, request.flags.sets, request.flags.unsets, self.problems)

    def _check_budget(self) -> None:
        """Rows with other budgets are not comparable: refuse them before hours of work."""
        paths = dict.fromkeys(("train.epochs", "train.steps_per_epoch"), "set it for all rows in `budget`")
        if at(self.tree, ("train", "steps_per_epoch")) is None:
            paths["train.batch.target"] = "an epoch is one pass over T_u: say `budget: {steps_per_epoch: N}`"
        for row in self.rows:
            for path, remedy in paths.items():
                if is_below(path, *row.varied) and not is_below(f"config.{path}", *self.request.comparison.allow):
                    hint = f"{remedy}, or allow the difference: `allow: [config.{path}]`"
                    message = f"the row '{row.name}' has another budget than the others"
                    self.problems.append(Problem("C311", message, hint, self._place_of(row, path)))

    def _place_of(self, row: Overlay, path: str) -> Place:
        nodes = [at(row.layer, tuple(path.split("."))), *(value.node for value in row.values if value.path == path)]
        return next((replace(node.place, path=path) for node in nodes if node is not None), self.request.root.start)

    def _reference(self) -> str:
        wanted = self.request.comparison.reference
        named = [row.name for row in self.rows if wanted == row.name] + [row.name for row in self.rows if wanted in row.called]
        methods = [row.name for row in self.rows if row.role == "method"]
        return [*named, *methods, self.rows[0].name][0]

    def _needs(self) -> Needs:
        bounds = [(path, bound) for one in self.resolved.values() for path, bound in one.components.items()]
        single = {bound.distribution for _, bound in bounds if bound.use.startswith("file:")}
        packages = {bound.spec.factory.partition(":")[0].partition(".")[0] for _, bound in bounds if not bound.use.startswith("file:")}
        params = [bound.params for path, bound in bounds if path.startswith("corpora.")]
        values = {getattr(each, name) for each in params for name in type(each).model_fields if isinstance(getattr(each, name), Path)}
        data = {os.path.abspath(expanded(value)) for value in values}
        return Needs(tuple(sorted(packages | {"sere_core", "sere_registry"})), tuple(sorted(single)), tuple(sorted(data)))


def _anchored(node: Node, path: tuple[str, ...] = ()) -> Node:
    """The tree with every existing `./...` or `../...` among parameters as an absolute path."""
    value = node.value
    if isinstance(value, dict):
        return Node({name: _anchored(child, (*path, name)) for name, child in value.items()}, node.start, node.key)
    if isinstance(value, list):
        return Node([_anchored(child, (*path, str(index))) for index, child in enumerate(value)], node.start, node.key)
    if isinstance(value, str) and "params" in path and value.startswith(("./", "../")) and os.path.exists(value):
        return Node(os.path.abspath(value), node.start, node.key)
    return node


def _job_text(resolved: Resolved) -> str:
    """The config as a file that means the same from every folder."""

    def portable(dumped: object, path: str) -> object:
        if isinstance(dumped, dict):
            bound = resolved.components.get(path)
            params = {} if bound is None else {"params": _absolute(dumped["params"], bound.params)}
            return {key: portable(child, f"{path}.{key}".lstrip(".")) for key, child in dumped.items()} | params
        if isinstance(dumped, list):
            return [portable(child, f"{path}.{index}") for index, child in enumerate(dumped)]
        return _absolute(dumped, PurePath()) if path in ("features.cache", "output.dir") else dumped

    return write(portable(resolved.config.model_dump(mode="json"), ""))


def _absolute(dumped: object, value: object) -> object:
    """Dumped parameters with those that are paths made absolute."""
    if isinstance(dumped, dict):
        inner = dict(value) if isinstance(value, (BaseModel, Mapping)) else {}
        return {key: _absolute(child, inner.get(key)) for key, child in dumped.items()}
    if isinstance(dumped, list) and isinstance(value, (list, tuple)):
        return [_absolute(child, each) for child, each in zip(dumped, value, strict=True)]
    is_path = isinstance(value, PurePath) and isinstance(dumped, str) and not dumped.startswith("~")
    return os.path.abspath(str(dumped)) if is_path else dumped
