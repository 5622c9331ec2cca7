"""From a comparison file to its plan: rows, pairs, and every job's complete config, checked."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from pydantic import BaseModel

from sere_core.compare.grammar import Flags, Request, read_request
from sere_core.compare.plan import ComparePlan, Job, Role, Row, job_file
from sere_core.compare.proof import is_below
from sere_core.config import Resolved
from sere_core.config.loader import resolve
from sere_core.config.merge import apply, merge, put
from sere_core.config.nodes import Node, at, dotted, noted, plain, tidy
from sere_core.config.nodes import Path as Keys
from sere_core.config.source_code import check_factories
from sere_core.config.yaml_text import flow, write
from sere_core.content import Contents
from sere_core.identity import Identity, identify, others
from sere_core.plan import Plan, importing, make_plan
from sere_registry.catalog import Catalog
from sere_registry.errors import Place, Problem, SereError, counted, error, suggest
from sere_registry.files import cache_folder, expanded, write_atomically

_SEED = re.compile(r"(?m)^seed: [0-9]+$")
#: sections whose parts are named: an axis below one of them needs a row that has that part
_NAMED = ("corpora", "encoders", "losses", "hooks")


@dataclass(frozen=True)
class Value:
    """A value of an axis; without a path it is laid over the row."""

    word: str
    node: Node
    path: str | None  # None: the node is an overlay


@dataclass(frozen=True)
class Overlay:
    """One row before it meets a pair; `origin` is the name in `rows` that it was crossed from."""

    name: str
    role: Role
    origin: str
    layer: Node
    values: tuple[Value, ...]
    varied: tuple[str, ...]

    @property
    def called(self) -> tuple[str, ...]:
        """What floor, ceiling and reference may call it, beside its name."""
        return (self.origin, *(value.word for value in self.values))

    def lay(self, tree: Node) -> Node:
        """The tree with this row's changes; C305 if there is no such place."""
        tree = laid(tree, self.layer)
        for value in self.values:
            tree = laid(tree, value.node) if value.path is None else put(tree, value.path, value.node)
        return tree


@dataclass(frozen=True)
class Pair:
    name: str
    layer: Node


def laid(tree: Node, layer: Node) -> Node:
    """`layer` merged over `tree`, whose own place stays."""
    merged = merge(tree, layer) if layer.value is not None else tree
    return replace(merged, start=tree.start, key=tree.key) if merged is not None else tree


def rows_of(request: Request, tree: Node, problems: list[Problem]) -> list[Overlay]:
    """Every row, in the order of the table; `tree` is the base with what is set for every run.

    An axis passes over rows that lack what it varies: a loss's parameter, in a row without that loss.
    """
    comparison = request.comparison
    given = request.root.child("rows")
    here = request.root.start
    named = given is not None and bool(given.value)
    layers: Mapping[str, Node] = given.value if given is not None and named else {"": Node({}, here)}
    axes = _axes(request, problems)
    if problems:
        return []  # what would be said of the rows is noise
    own = str(getattr(at(tree, ("name",)), "value", "base"))
    applied: set[str] = set()
    found: list[Overlay] = []
    for name, layer in layers.items():
        mine = laid(tree, layer)
        fitting = [path for path in axes if _has(mine, path)]
        applied.update(fitting)
        for values in itertools.product(*(axes[path] for path in fitting)):
            words = [word for word in (name, *(value.word for value in values)) if word]
            full = (" " if named else ", ").join(words) or own
            varied = [path for part in (layer, *(value.node for value in values if value.path is None)) for path in _paths(part)]
            varied += [_block(tuple(value.path.split("."))) for value in values if value.path is not None]
            called = {*words, full}
            role: Role = "floor" if called & set(_names(comparison.floor)) else "method"
            role = "ceiling" if called & set(_names(comparison.ceiling)) else role
            varied += ["task.source", "task.classes"] if role == "ceiling" else []
            found.append(Overlay(full, role, name, layer, values, shortest(varied)))
    for path in axes:
        if path not in applied and found:
            known = [f"{section}.{name}" for section in _NAMED for name, _ in (tree.child(section) or Node({}, here)).children()]
            hint = suggest(".".join(path.split(".")[:2]), known, "named parts of the base")
            problems.append(Problem("C305", f"no row has what '{path}' varies", hint, request.place("vary", path)))
    if not problems:
        problems += _name_problems(request, list(layers), found)
    return found


def pairs_of(request: Request, tree: Node, problems: list[Problem]) -> list[Pair]:
    """Every pair, in the order of the table; none where the base's own is meant."""
    given = request.root.child("pairs")
    if given is None or given.value is None:
        return []
    if isinstance(given.value, dict):
        return [Pair(name, layer) for name, layer in given.value.items()]
    if isinstance(given.value, str):  # all
        corpora = [name for name, _ in (tree.child("corpora") or Node({}, given.start)).children()]
        items = [Node(f"{source}>{target}", given.start) for source, target in itertools.permutations(corpora, 2)]
        if not items:
            problems.append(Problem("C311", "the base has no two corpora to make pairs of", "", request.place("pairs")))
    else:
        items = given.value
    found: dict[str, Pair] = {}
    for item in items:
        source, arrow, target = (part.strip() for part in str(item.value).partition(">"))
        place = replace(item.start, path="pairs")
        if not (source and arrow and target) or ">" in target:
            problems.append(Problem("C302", f"'{item.value}' is no pair", "write SOURCE>TARGET, by the ids of two corpora", place))
        elif source == target:
            hint = "a ceiling is a row, named in `ceiling`"
            problems.append(Problem("C302", f"'{item.value}' goes from a corpus to itself", hint, place))
        elif f"{source}>{target}" in found:
            problems.append(Problem("C302", f"the pair '{item.value}' stands twice", "remove one", place))
        else:
            ends = {"source": source, "target": target}
            found[f"{source}>{target}"] = Pair(f"{source}>{target}", plain({"task": ends, "vars": ends}, item.start))
    return list(found.values())


def _axes(request: Request, problems: list[Problem]) -> dict[str, list[Value]]:
    """Path -> values: any YAML, put there; or {name, set}, an overlay."""
    given = request.root.child("vary")
    axes: dict[str, list[Value]] = {}
    nodes = given.value if given is not None and isinstance(given.value, dict) else {}
    for path, node in nodes.items():
        if not node.value:
            problems.append(Problem("C302", "an axis without values", "list at least one", request.place("vary", path)))
        axes[path] = []
        for item in node.value or ():
            if isinstance(item.value, dict) and set(item.value) == {"name", "set"}:
                axes[path].append(Value(str(item.value["name"].value), item.value["set"], None))
            else:
                words = item.value if isinstance(item.value, str) else flow(item.data())
                axes[path].append(Value(f"{_label(path, list(nodes))}={words}", item, path))
    return axes


def _label(path: str, paths: Sequence[str]) -> str:
    """The shortest end of the path that tells the axes apart; `use` is left out."""

    def parts(one: str) -> list[str]:
        words = one.split(".")
        return [word for word in (words[:-1] if words[-1] == "use" and len(words) > 1 else words) if word != "params"]

    mine = parts(path)
    others = [parts(other) for other in paths if other != path]
    for length in range(1, len(mine) + 1):
        if not any(other[-length:] == mine[-length:] for other in others):
            return ".".join(mine[-length:])
    return path


def _has(tree: Node, path: str) -> bool:
    """Has this row the named part that the axis lies in?"""
    parts = tuple(path.split("."))
    if len(parts) >= 2 and parts[0] in _NAMED:
        return at(tree, parts[:2]) is not None
    if parts[0] == "resonance" and len(parts) > 1 and parts[1] != "use":
        return tree.child("resonance") is not None
    return True


def _paths(layer: Node, above: Keys = ()) -> Iterator[str]:
    """The paths that an overlay changes; a changed `use` changes its block."""
    if not isinstance(layer.value, dict) or (not layer.value and above):
        yield _block(above)
        return
    for name, child in layer.value.items():
        yield from _paths(child, (*above, name))


def _block(path: Keys) -> str:
    return dotted(path[:-1] if path[-1:] == ("use",) and len(path) > 1 else path)


def shortest(paths: Sequence[str]) -> tuple[str, ...]:
    """Each path once, and none that lies below another."""
    unique = list(dict.fromkeys(paths))
    return tuple(path for path in unique if path and not any(path.startswith(other + ".") for other in unique))


def _names(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _name_problems(request: Request, bases: Sequence[str], rows: Sequence[Overlay]) -> Iterator[Problem]:
    seen: dict[str, Overlay] = {}
    for row in rows:
        if row.name in seen:
            yield Problem("C302", f"two rows are called '{row.name}'", "rename one, or vary something else", request.place("vary"))
        if not row.name.isprintable() or row.name != row.name.strip() or len(row.name) > 200:
            yield Problem("C302", f"{row.name!r} cannot be the name of a row", "use printable characters", request.place("rows", row.name))
        seen[row.name] = row
    known = list(dict.fromkeys((*seen, *(name for name in bases if name), *(value.word for row in rows for value in row.values))))
    both = set(_names(request.comparison.floor)) & set(_names(request.comparison.ceiling))
    for key in ("floor", "ceiling", "reference"):
        chosen = getattr(request.comparison, key)
        for index, name in enumerate(_names(chosen) if chosen is not None else ()):
            place = request.place(key) if isinstance(chosen, str) else request.place(key, str(index))
            if name not in known:
                yield Problem("C308", f"there is no row '{name}'", suggest(name, known, "rows and values"), place)
            elif name in both and key == "ceiling":
                yield Problem("C311", f"'{name}' is both floor and ceiling", "a ceiling learns from the target's labels", place)


@dataclass(frozen=True)
class Needs:
    """What runs are made of beside their configs."""

    packages: tuple[str, ...]
    files: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


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

    def write_configs(self) -> None:
        """Write the configs and the comparison where they have changed."""
        texts = {job_file(self.folder, job): config for job, config in self.configs.items()}
        for path, text in (texts | {self.folder / "compare.yaml": self.text}).items():
            if not path.is_file() or path.read_bytes() != text.encode():
                write_atomically(path, text.encode())

    def write(self) -> None:
        self.write_configs()
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
        self._tasks: dict[str, Plan | None] = {}
        self._digests: dict[Path, Contents] = {}
        self._cells: list[Cell] | None = None
        self.tree = self._common()
        self.rows = rows_of(request, self.tree, self.problems)
        self.pairs = pairs_of(request, self.tree, self.problems) or [Pair("", Node({}, request.root.start))]
        if not self.rows:
            self.stop()
        self._check_budget()

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
        )
        return Planned(plan, request.output, self.resolved, self.configs, request.text(), tuple(self.warnings), self._needs())

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
        data = resolved.config.model_dump(mode="json", include={"task", "corpora", "paths", "seed"})
        key = json.dumps(data, sort_keys=True)
        if key not in self._tasks:
            self._tasks[key] = None
            with noted(self.problems):
                self._tasks[key] = made = make_plan(resolved, self._contents(resolved))
                self.warnings |= dict.fromkeys(made.warnings)
        return self._tasks[key]

    def _contents(self, resolved: Resolved) -> Contents:
        folder = cache_folder(resolved.config.features.cache)
        return self._digests.setdefault(folder, Contents(folder))

    def _common(self) -> Node:
        request = self.request
        tree = laid(request.base, request.root.child("set") or Node({}, request.root.start))
        tree = apply(tree, request.flags.sets, request.flags.unsets, self.problems)
        budget = request.root.child("budget")
        return laid(tree, Node({"train": budget}, budget.start)) if budget is not None and budget.value else tree

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
