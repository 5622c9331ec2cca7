"""The rows and pairs of a comparison, as overlays of its base: what `rows`, `vary` and `pairs` say."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sere_core.compare.grammar import Request
from sere_core.compare.plan import Role
from sere_core.config.merge import merge, put
from sere_core.config.nodes import Node, at, dotted, plain
from sere_core.config.nodes import Path as Keys
from sere_core.config.yaml_text import flow
from sere_registry.errors import Place, Problem, suggest

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

    An axis passes over rows that lack what it varies: a loss's parameter, in a row without that loss.  `--row` chooses among them.
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
            roles: list[Role] = [role for role in ("ceiling", "topline", "floor") if called & set(_names(getattr(comparison, role)))]
            role = [*roles, "method"][0]
            varied += ["task.source", "task.classes"] if role == "ceiling" else []
            row = Overlay(full, role, name, layer, values, ())
            found.append(replace(row, varied=shortest(_read_through(row.lay(tree), varied))))
    for path in axes:
        if path not in applied and found:
            known = [f"{section}.{name}" for section in _NAMED for name, _ in (tree.child(section) or Node({}, here)).children()]
            hint = suggest(".".join(path.split(".")[:2]), known, "named parts of the base")
            problems.append(Problem("C305", f"no row has what '{path}' varies", hint, request.place("vary", path)))
    if not problems:
        problems += _name_problems(request, list(layers), found)
    chosen = set(request.flags.rows)
    return [row for row in found if not chosen or chosen & {row.name, *row.called}]


def gaps_of(request: Request, rows: Sequence[Overlay]) -> dict[str, tuple[str, str]]:
    """Row -> the two rows between which it closes a gap: of several that are called so, those of its own values of the axes."""
    wanted = request.comparison.gap

    def own(row: Overlay, called: str) -> str | None:
        named = [each for each in rows if called in (each.name, *each.called)]
        mine = [each for each in named if {value.word for value in each.values} <= {value.word for value in row.values}]
        chosen = named if len(named) == 1 else mine
        return chosen[0].name if len(chosen) == 1 else None

    found = {} if wanted is None else {row.name: (own(row, wanted.start), own(row, wanted.goal)) for row in rows}
    return {row: (start, goal) for row, (start, goal) in found.items() if start is not None and goal is not None and start != goal}


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
                if not isinstance(item.value["set"].value, dict):
                    hint = "write the keys that it changes: set: {losses: {adapt: null}}"
                    problems.append(Problem("C302", "the set of a value is no mapping", hint, request.place("vary", path)))
                    continue
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


def _read_through(tree: Node, varied: Sequence[str]) -> list[str]:
    """Also the paths that read a varied variable, by themselves or through another one."""
    found = list(varied)
    for name in found:
        if name.startswith("vars."):
            reads = re.compile(rf"\$\{{{re.escape(name)}[.}}]")
            found += [path for path, text in _texts(tree) if path not in found and reads.search(text)]
    return found


def _texts(node: Node, above: Keys = ()) -> Iterator[tuple[str, str]]:
    """Every text, with the path of the mapping's key that holds it."""
    if isinstance(node.value, dict):
        for name, child in node.value.items():
            yield from _texts(child, (*above, name))
    elif isinstance(node.value, (list, tuple)):
        for child in node.value:
            yield from ((_block(above), text) for _, text in _texts(child, above))
    elif isinstance(node.value, str):
        yield _block(above), node.value


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
    for name in request.flags.rows:
        if name not in known:
            yield Problem("C308", f"there is no row '{name}'", suggest(name, known, "rows and values"), Place(f"--row {name}"))
    both = set(_names(request.comparison.floor)) & set(_names(request.comparison.ceiling))
    for key in ("floor", "topline", "ceiling", "reference"):
        chosen = getattr(request.comparison, key)
        for index, name in enumerate(_names(chosen) if chosen is not None else ()):
            place = request.place(key) if isinstance(chosen, str) else request.place(key, str(index))
            if name not in known:
                yield Problem("C308", f"there is no row '{name}'", suggest(name, known, "rows and values"), place)
            elif name in both and key == "ceiling":
                yield Problem("C311", f"'{name}' is both floor and ceiling", "a ceiling learns from the target's labels", place)
    if (gap := request.comparison.gap) is not None:
        ends = {"from": gap.start, "to": gap.goal}
        strange = {key: name for key, name in ends.items() if name not in known}
        for key, name in strange.items():
            yield Problem("C308", f"there is no row '{name}'", suggest(name, known, "rows and values"), request.place("gap", key))
        if not strange and not gaps_of(request, rows):
            hint = "name two rows that are there for the same values of the axes"
            yield Problem("C311", f"no row lies between '{gap.start}' and '{gap.goal}'", hint, request.place("gap"))
