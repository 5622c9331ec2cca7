"""One config laid over another, and the changes of `--set` and `--unset`.

Maps merge, lists replace, null removes, and a changed `use` drops the old params.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sere_core.config.model import RunConfig
from sere_core.config.nodes import Dropped, Node, Path, dotted, noted
from sere_core.config.validation import below, description, keys, walk
from sere_core.config.yaml_text import MAX_DEPTH, read
from sere_registry.errors import Place, Problem, SereError, error, suggest


def merge(base: Node | None, over: Node, path: Path = ()) -> Node | None:
    """`over` laid on `base`; None where `over` is null.

    Below `params` a null stays: there it may be a value.  Whether it is, the component's parameters tell.
    """
    if over.value is None:
        return over if "params" in path[:-1] else None
    if isinstance(over.value, list):
        items = [merge(None, item, (*path, str(index))) or item for index, item in enumerate(over.value)]
        return Node(items, over.start, over.key)
    if not isinstance(over.value, dict):
        return over
    kept: dict[str, Node] = dict(base.value) if base is not None and isinstance(base.value, dict) else {}
    dropped = () if base is None else base.dropped
    if _changes_use(kept.get("use"), over.value.get("use")):
        dropped += _drop_params(kept)
    for name, child in over.value.items():
        _keep(kept, name, merge(kept.get(name), child, (*path, name)))
    return Node(kept, over.start, over.key, dropped)


def apply(root: Node, sets: Sequence[str], unsets: Sequence[str], problems: list[Problem]) -> Node:
    """`root` with the changes of the command line; `problems` gets those that cannot be understood (C305).

    A `--set` of a `use` comes before all others, so that their order does not matter.
    """
    changes: list[tuple[Path, Node]] = []
    for text in sets:
        with noted(problems):
            changes.append(_parse(text, problems))
    for path, node in sorted(changes, key=lambda change: change[0][-1] != "use"):
        with noted(problems):
            root = _put(root, (), path, node)
    for text in unsets:
        place = Place(file=f"--unset {text}", path=text)
        with noted(problems):
            root = _remove(root, (), _path(text, place), place)
    return root


def put(root: Node, path: str, new: Node) -> Node:
    """`root` with `new` at the dotted path, by the rules of `--set`.

    Raises:
        SereError: C305 if there is no such place.
    """
    return _put(root, (), _path(path, replace(new.start, path=path)), new)


def _keep(children: dict[str, Node], name: str, child: Node | None) -> None:
    if child is None:
        children.pop(name, None)
    else:
        children[name] = child


def _drop_params(block: dict[str, Node]) -> tuple[Dropped, ...]:
    """Take the parameters out of a block; what they were."""
    params = block.pop("params", None)
    given = {} if params is None or not isinstance(params.value, dict) else params.value
    return tuple(Dropped(name, str(block["use"].value), child.place) for name, child in given.items())


def _changes_use(old: Node | None, new: Node | None) -> bool:
    """Does `use` name another component now?  A short name and a full name that ends in it are the same."""
    if old is None or new is None or not isinstance(old.value, str) or not isinstance(new.value, str):
        return False
    first, second = old.value.lower(), new.value.lower()
    return first != second and not first.endswith("." + second) and not second.endswith("." + first)


def _parse(text: str, problems: list[Problem]) -> tuple[Path, Node]:
    key, equals, value = text.partition("=")
    here = Place(file=f"--set {text if len(text) <= 80 else text[:77] + '...'}")
    if not equals:
        raise error("C305", "--set needs a path and a value", "write --set a.b=VALUE, e.g. --set train.epochs=5", here)
    place = replace(here, path=key.strip())
    path = _path(key.strip(), place)
    found: list[Problem] = []
    node = read(value, place, found, path, lines=False)
    if node is None and found:
        raise SereError(*(replace(problem, code="C305", place=place) for problem in found))
    problems.extend(found)
    return path, Node(None if node is None else node.value, here, here)


def _path(text: str, place: Place) -> Path:
    path = tuple(text.split("."))
    if not all(part and part == part.strip() for part in path):
        hint = "write the keys with dots between them, e.g. losses.adapt.weight"
        raise error("C305", f"'{text}' is not a path", hint, place)
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
            hint = f"items are numbered from 0 to {last}" if last >= 0 else f"set the list: --set {dotted(above)}=[...]"
            raise error("C305", f"{dotted(above)} is a list without item {name}", hint, place)
    elif not isinstance(node.value, dict):
        message = f"{dotted(above)} is a single value; nothing can be set below it"
        raise error("C305", message, description(RunConfig, above), place)
    else:
        _known(node, above, path, place)
    child = node.child(name)
    if rest:
        inside = child if child is not None and child.value is not None else Node({}, new.start, new.start)
        return _with_child(node, name, _put(inside, here, rest, new))
    if name == "use" and isinstance(node.value, dict) and _changes_use(child, new):
        block = dict(node.value)
        node = replace(node, dropped=node.dropped + _drop_params(block), value=block)
    return _with_child(node, name, merge(child, new, here))


def _with_child(node: Node, name: str, child: Node | None) -> Node:
    """The node with another child of this name; without one if `child` is None."""
    if isinstance(node.value, list):
        items = list(node.value)
        items[int(name) : int(name) + 1] = [] if child is None else [child]
        return replace(node, value=items)
    kept = dict(node.value)
    _keep(kept, name, child)
    return replace(node, value=kept)


def _known(node: Node, above: Path, path: Path, place: Place) -> None:
    """Refuse a key that the section does not have, and a part of a component that is not there."""
    if (*above, path[0])[0] == "vars" or "params" in above or path[0] in node.value:
        return
    annotation = walk(RunConfig, above)
    known = keys(annotation)
    whose = dotted(above) or "a config"
    if known is not None and path[0] not in known:
        hint = suggest(path[0], known, f"known keys of {whose}")
        raise error("C305", f"{whose} has no key '{path[0]}'", hint, place)
    if known is None and below(annotation, path[0]) is None:
        raise error("C305", f"nothing can be set below {whose}", description(RunConfig, above), place)
    if known is None and len(above) == 1 and len(path) > 1 and path[1] != "use":
        hint = suggest(path[0], node.value, whose) + f"; a new one begins with --set {whose}.{path[0]}.use=..."
        raise error("C305", f"there is no '{path[0]}' in {whose}", hint, place)


def _remove(node: Node, above: Path, path: Path, place: Place) -> Node:
    name, child = path[0], node.child(path[0])
    if child is None:
        where = dotted(above) or "the config"
        hint = suggest(name, [key for key, _ in node.children()], f"set in {where}")
        raise error("C305", f"{where} does not set '{name}'", hint, place)
    return _with_child(node, name, _remove(child, (*above, name), path[1:], place) if len(path) > 1 else None)
