"""From a request to a plan: every job's complete config, checked before the first one starts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sere_core.compare.asked import Inputs, Watched
from sere_core.compare.explain import allowed_by, below
from sere_core.compare.grammar import Request
from sere_core.compare.places import is_done, job_file, read_json, record_of, write_if_new
from sere_core.compare.plan import ComparePlan, Job, Row
from sere_core.compare.portable import anchored, data_paths, job_text, with_seed
from sere_core.compare.rows import Overlay, Pair, checked, laid, pairs_of, plain, rows_of
from sere_core.config import Resolved
from sere_core.config.loader import resolve
from sere_core.config.merge import apply
from sere_core.config.nodes import Node, at, tidy
from sere_core.config.source_code import check_factories
from sere_core.plan import Plan, make_plan
from sere_registry.catalog import Catalog
from sere_registry.errors import Place, Problem, SereError

_BUDGET_PATHS = ("train.epochs", "train.steps_per_epoch")


@dataclass(frozen=True)
class Planned:
    """A plan that is ready to be written.

    Args:
        plan: rows, pairs, seeds and jobs.
        configs: job -> its config's text.
        warnings: what is odd but no error.
        inputs: what all of it was made of.
    """

    plan: ComparePlan
    configs: Mapping[str, str] = field(repr=False)
    warnings: tuple[str, ...]
    inputs: Inputs = field(repr=False)

    def write(self, folder: Path, text: str) -> None:
        """Write the configs of the jobs, and `plan.json` last.

        Args:
            folder: the comparison's.
            text: the comparison as it was asked for.

        Raises:
            SereError: X704 or X705.
        """
        for job, config in self.configs.items():
            write_if_new(job_file(folder, job), config.encode())
        write_if_new(folder / "compare.yaml", text.encode())
        self.inputs.write(folder)
        self.plan.write(folder)


def make_plans(request: Request, command: Mapping[str, Any]) -> Planned:
    """Plan every job.

    Args:
        request: the comparison.
        command: what of the command line the plan depends on.

    Raises:
        SereError: the problems of all jobs together.
    """
    return Planner(request).whole(command)


class Planner:
    """Makes the configs of a request's jobs, and gathers everything that is wrong with them.

    Args:
        request: the comparison.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.problems: list[Problem] = []
        self.environ = Watched(os.environ)
        self.catalog = Catalog()
        self.warnings: dict[str, None] = dict.fromkeys(map(str, self.catalog.left_out_in_vain()))
        self.factories: set[str] = set()
        self.tasks: dict[str, Plan] = {}
        self.read: dict[str, set[str]] = {"files": set(), "packages": {"sere_core", "sere_registry"}, "data": set()}

    def whole(self, command: Mapping[str, Any]) -> Planned:
        request, comparison = self.request, self.request.comparison
        tree = self.common()
        rows = rows_of(request, tree, self.problems)
        pairs = pairs_of(request, tree, self.problems)
        if not rows:
            self.stop()
        self.check_budget(rows, tree)
        own = [Pair("", Node({}, request.root.start))]
        jobs: list[Job] = []
        configs: dict[str, str] = {}
        names: dict[str, None] = {}
        budget: dict[str, Any] = {}
        for row in rows:
            for pair in pairs or own:
                resolved = self.resolved(tree, row, pair)
                if resolved is None:
                    continue
                name = pair.name or f"{resolved[1].config.task.source}>{resolved[1].config.task.target}"
                names[name] = None
                budget = budget or {key: getattr(resolved[0].config.train, key) for key in ("epochs", "steps_per_epoch")}
                text = job_text(resolved[0])
                for seed in request.seeds:
                    one = seeded(resolved[0], seed)
                    job = one.digest()
                    jobs.append(Job(row.name, name, seed, job))
                    configs.setdefault(job, with_seed(text, seed))
                    self.check_task(one, job)
        self.stop()
        self.check_roles(rows)
        inputs = self.inputs(command)
        plan = ComparePlan(
            name=comparison.compare,
            rows=tuple(Row(row.name, row.role, row.varied) for row in rows),
            pairs=tuple(names),
            seeds=request.seeds,
            jobs=tuple(jobs),
            reference=self.reference(rows),
            allow=tuple(comparison.allow),
            budget=budget,
            asked=inputs.digest(),
        )
        return Planned(plan, configs, tuple(self.warnings), inputs)

    def inputs(self, command: Mapping[str, Any]) -> Inputs:
        """What everything that was planned so far depends on."""
        request = self.request
        return Inputs(
            dict(command),
            tuple(sorted({str(file) for file in request.sources.files} | {str(request.file)} | self.read["files"])),
            tuple(sorted(self.environ.read)),
            tuple(sorted(self.read["packages"])),
            tuple(sorted(self.read["data"])),
        )

    def stop(self) -> None:
        """End with the problems, if there are any.

        Raises:
            SereError: all of them.
        """
        if self.problems:
            raise SereError(*tidy(self.problems))

    def check_roles(self, rows: list[Overlay]) -> None:
        """A table should have a floor and a ceiling."""
        if not any(row.role == "floor" for row in rows):
            self.warnings["this table has no floor: name a row that adapts to nothing in `floor`"] = None
        if not any(row.role == "ceiling" for row in rows):
            self.warnings["this table has no ceiling: name a row in `ceiling`, and it learns from the target's own labels"] = None

    def reference(self, rows: list[Overlay]) -> str:
        """The row that was named, or the first method."""
        wanted = self.request.comparison.reference
        methods = [row.name for row in rows if row.role == "method"] or [row.name for row in rows]
        chosen = [row.name for row in rows if wanted == row.name] or [row.name for row in rows if wanted in row.called]
        return (chosen or methods)[0]

    def common(self) -> Node:
        """The base with what every run gets."""
        request = self.request
        tree = laid(request.base, request.root.child("set") or Node({}, request.root.start))
        tree = apply(tree, request.flags.sets, request.flags.unsets, self.problems)
        budget = request.root.child("budget")
        if budget is not None and budget.value:
            tree = laid(tree, Node({"train": budget}, budget.start))
        return tree

    def check_budget(self, rows: list[Overlay], tree: Node) -> None:
        """Rows with other budgets are not comparable, and nobody should learn that after hours."""
        paths = dict.fromkeys(_BUDGET_PATHS, "set it for all rows in `budget`")
        if at(tree, ("train", "steps_per_epoch")) is None:
            paths["train.batch.target"] = "an epoch is one pass over T_u: say `budget: {steps_per_epoch: N}`"
        for row in rows:
            for path, way_out in paths.items():
                if any(below(path, one) for one in row.varied) and not allowed_by(f"config.{path}", self.request.comparison.allow):
                    hint = f"{way_out}, or allow the difference: `allow: [config.{path}]`"
                    message = f"the row '{row.name}' has another budget than the others"
                    self.problems.append(Problem("C311", message, hint, self._place_of(row, path)))

    def _place_of(self, row: Overlay, path: str) -> Place:
        found = at(row.layer, tuple(path.split(".")))
        if found is not None:
            return replace(found.place, path=path)
        return next((replace(value.node.place, path=path) for value in row.values if value.path == path), self.request.root.start)

    def resolved(self, tree: Node, row: Overlay, pair: Pair) -> tuple[Resolved, Resolved] | None:
        """The config of a row and pair, and the config that names the pair's own corpora; None if something is wrong."""
        laid_row = checked(row, laid(tree, pair.layer), self.problems)
        if laid_row is None:
            return None
        plain_one = self.resolve(laid_row)
        if plain_one is None or row.role != "ceiling":
            return (plain_one, plain_one) if plain_one is not None else None
        task = self.task(plain_one)
        if task is None:
            return None
        place = next(iter(pair.layer.value.values())).start if pair.layer.value else self.request.root.start
        own = {"task": {"source": task.task.target, "classes": list(task.task.classes)}}
        ceiling = self.resolve(laid(laid_row, plain(own, place)))
        return (ceiling, plain_one) if ceiling is not None else None

    def resolve(self, tree: Node) -> Resolved | None:
        request = self.request
        here = replace(request.root.start, line=None, column=None)
        ends = {getattr(at(tree, ("task", end)), "value", None) for end in ("source", "target")}
        corpora = tree.child("corpora")
        more: dict[str, Any] = {
            "name": Node(request.comparison.compare, here),
            "seed": Node(request.seeds[0], here),
            "output": Node({"dir": Node(str(request.output / "records"), here)}, here),
        }
        if corpora is not None and isinstance(corpora.value, dict) and ends <= set(corpora.value):
            more["corpora"] = replace(corpora, value={name: child for name, child in corpora.value.items() if name in ends})
        try:
            resolved = resolve(anchored(replace(tree, value={**tree.value, **more})), request.sources, self.catalog, self.environ)
            check_factories(resolved, self.factories)  # now, not in every job
        except SereError as cause:
            self.problems += cause.problems
            return None
        self.warnings.update(dict.fromkeys(f"{each.place}: {each.message}" for each in resolved.warnings))
        self.warnings.update(dict.fromkeys(map(str, self.catalog.left_out_in_vain(resolved.disabled))))
        self.factories |= {bound.spec.factory for bound in resolved.components.values()}
        for bound in resolved.components.values():
            self.read["packages"].add(bound.spec.factory.partition(":")[0].partition(".")[0])
            if bound.use.startswith("file:"):
                self.read["files"].add(bound.distribution)
        self.read["data"] |= data_paths(resolved)
        return resolved

    def task(self, resolved: Resolved) -> Plan | None:
        """The corpora and folds of a config, made once for all configs that share them."""
        data = resolved.config.model_dump(mode="json", include={"task", "corpora", "paths", "seed"})
        key = json.dumps(data, sort_keys=True)
        if key not in self.tasks:
            try:
                self.tasks[key] = make_plan(resolved)
            except SereError as cause:
                self.problems += cause.problems
                return None
            self.warnings.update(dict.fromkeys(self.tasks[key].warnings))
        return self.tasks[key]

    def check_task(self, resolved: Resolved, job: str) -> None:
        """The folds can be made; and if the job has a record, its corpora are still those on disk."""
        plan = self.task(resolved)
        folder = self.request.output
        if plan is not None and is_done(folder, job):
            recorded = (read_json(record_of(folder, job) / "manifest.json") or {}).get("digests", {}).get("corpora", {})
            try:
                plan.check_unchanged(recorded, record_of(folder, job))
            except SereError as cause:
                self.problems += cause.problems


def seeded(resolved: Resolved, seed: int) -> Resolved:
    """The config with another seed."""
    return replace(resolved, config=resolved.config.model_copy(update={"seed": seed}))
