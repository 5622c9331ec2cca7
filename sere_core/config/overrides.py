"""`--set a.b=VALUE` and `--unset a.b`: changes from the command line, each with a place of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sere_core.config.merge import changes_use, drop_params, merge
from sere_core.config.model import RunConfig
from sere_core.config.nodes import Node, Path, dotted
from sere_core.config.reader import MAX_DEPTH, read
from sere_core.config.schema import below, description, keys, walk
from sere_registry.errors import Place, Problem, SereError, error, suggest


def apply(root: Node, sets: Sequence[str], unsets: Sequence[str], problems: list[Problem]) -> Node:
    """`root` with the changes; `problems` gets those that cannot be understood (C305).

    A `--set` of a `use` comes before all others, so that their order does not matter.
    """
    changes: list[tuple[Path, Node]] = []
    for text in sets:
        try:
            changes.append(_parse(text, problems))
        except SereError as cause:
            problems.extend(cause.problems)
    for path, node in sorted(changes, key=lambda change: change[0][-1] != "use"):
        try:
            root = _put(root, (), path, node)
        except SereError as cause:
            problems.extend(cause.problems)
    for text in unsets:
        place = Place(file=f"--unset {text}", path=text)
        try:
            root = _remove(root, (), _path(text, place), place)
        except SereError as cause:
            problems.extend(cause.problems)
    return root


def put(root: Node, path: str, new: Node) -> Node:
    """`root` with `new` at the dotted path, by the rules of `--set`.

    Raises:
        SereError: C305 if there is no such place.
    """
    return _put(root, (), _path(path, replace(new.start, path=path)), new)


def _parse(text: str, problems: list[Problem]) -> tuple[Path, Node]:
    key, equals, value = text.partition("=")
    label = text if len(text) <= 80 else text[:77] + "..."
    place = Place(file=f"--set {label}", path=key.strip())
    if not equals:
        hint = "write --set a.b=VALUE, e.g. --set train.epochs=5"
        raise error("C305", "--set needs a path and a value", hint, Place(file=f"--set {label}"))
    path = _path(key.strip(), place)
    before = len(problems)
    node = read(value, lambda line, column: replace(place), problems, path)
    if node is None:
        if len(problems) == before:
            node = Node(None, place)
        else:  # the reader has said what is wrong
            problems[before:] = [replace(problem, code="C305", place=place) for problem in problems[before:]]
            raise SereError(*_take(problems, before))
    start = replace(place, path="")
    return path, Node(node.value, start, start)


def _take(problems: list[Problem], start: int) -> list[Problem]:
    taken = problems[start:]
    del problems[start:]
    return taken


def _path(text: str, place: Place) -> Path:
    path = tuple(text.split("."))
    if not all(part and part == part.strip() for part in path):
        raise error("C305", f"'{text}' is not a path", "write the keys with dots between them, e.g. losses.adapt.weight", place)
    if len(path) > MAX_DEPTH:
        raise error("C305", f"the path has more than {MAX_DEPTH} keys", "", place)
    if path[0] == "extends":
        raise error("C305", "`extends` can only stand in a file", "", place)
    return path


def _put(node: Node, above: Path, path: Path, new: Node) -> Node:
    """`node`, which stands at `above`, with `new` at `path` below it."""
    name, rest, here = path[0], path[1:], (*above, path[0])
    place = replace(new.start, path=dotted((*above, *path)))
    if isinstance(node.value, list):
        if not name.isdigit() or int(name) >= len(node.value):
            last = len(node.value) - 1
            hint = f"items are numbered from 0 to {last}" if last >= 0 else f"set the whole list: --set {dotted(above)}=[...]"
            raise error("C305", f"{dotted(above)} is a list without item {name}", hint, place)
        items = list(node.value)
        changed = _put(items[int(name)], here, rest, new) if rest else merge(items[int(name)], new, here)
        items[int(name) : int(name) + 1] = [changed] if changed is not None else []
        return replace(node, value=items)
    if not isinstance(node.value, dict):
        raise error("C305", f"{dotted(above)} is a single value; nothing can be set below it", description(RunConfig, above), place)
    _known(node, above, path, place)
    children = dict(node.value)
    child = children.get(name)
    if rest:
        inside = child if child is not None and child.value is not None else Node({}, new.start, new.start)
        changed = _put(inside, here, rest, new)
    else:
        if name == "use" and changes_use(child, new):
            node = replace(node, dropped=node.dropped + drop_params(children))
        changed = merge(child, new, here)
    if changed is None:
        children.pop(name, None)
    else:
        children[name] = changed
    return replace(node, value=children)


def _known(node: Node, above: Path, path: Path, place: Place) -> None:
    """Refuse a key that the section does not have, and a part of a component that is not there."""
    if above[:1] == ("vars",) or "params" in above or path[0] in node.value:
        return
    if above == () and path[0] == "vars":
        return
    annotation = walk(RunConfig, above)
    known = keys(annotation)
    if known is not None and path[0] not in known:
        whose = dotted(above) or "a config"
        raise error("C305", f"{whose} has no key '{path[0]}'", suggest(path[0], known, f"known keys of {whose}"), place)
    if known is None and below(annotation, path[0]) is None:
        raise error("C305", f"nothing can be set below {dotted(above)}", description(RunConfig, above), place)
    if known is None and len(above) == 1 and len(path) > 1 and path[1] != "use":
        hint = suggest(path[0], node.value, above[0]) + f"; a new one begins with --set {above[0]}.{path[0]}.use=..."
        raise error("C305", f"there is no '{path[0]}' in {above[0]}", hint, place)


def _remove(node: Node, above: Path, path: Path, place: Place) -> Node:
    name = path[0]
    child = node.child(name)
    if child is None:
        where = dotted(above) or "the config"
        raise error("C305", f"{where} does not set '{name}'", suggest(name, [key for key, _ in node.children()], f"set in {where}"), place)
    changed = _remove(child, (*above, name), path[1:], place) if len(path) > 1 else None
    if isinstance(node.value, list):
        items = list(node.value)
        items[int(name) : int(name) + 1] = [] if changed is None else [changed]
        return replace(node, value=items)
    children = dict(node.value)
    if changed is None:
        del children[name]
    else:
        children[name] = changed
    return replace(node, value=children)
