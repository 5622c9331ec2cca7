"""Laying one config over another: maps merge, lists replace, null removes, a changed `use` drops the old params."""

from __future__ import annotations

from sere_core.config.nodes import Dropped, Node, Path


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
    if changes_use(kept.get("use"), over.value.get("use")):
        dropped += drop_params(kept)
    for name, child in over.value.items():
        merged = merge(kept.get(name), child, (*path, name))
        if merged is None:
            kept.pop(name, None)
        else:
            kept[name] = merged
    return Node(kept, over.start, over.key, dropped)


def drop_params(block: dict[str, Node]) -> tuple[Dropped, ...]:
    """Take the parameters out of a block; what they were."""
    params = block.pop("params", None)
    children = {} if params is None or not isinstance(params.value, dict) else params.value
    return tuple(Dropped(name, str(block["use"].value), child.place) for name, child in children.items())


def changes_use(old: Node | None, new: Node | None) -> bool:
    """Does `use` name another component now?  A short name and a full name that ends in it are the same."""
    if old is None or new is None or not isinstance(old.value, str) or not isinstance(new.value, str):
        return False
    first, second = old.value.lower(), new.value.lower()
    return first != second and not first.endswith("." + second) and not second.endswith("." + first)
