"""Where each value of a resolved config comes from, and what it means."""

from __future__ import annotations

from sere_core.config.model import RunConfig
from sere_core.config.nodes import Dropped, Path, at, dotted
from sere_core.config.resolved import Bound, Resolved
from sere_core.config.validation import description, models, walk
from sere_registry.errors import Place

DEFAULT = "default"


def origin(resolved: Resolved, path: Path) -> str:
    """Who set this value: `file:line:column`, `--set ...`, or `default`."""
    node = at(resolved.root, path) if path else None
    return DEFAULT if node is None else spot(node.place)


def spot(place: Place) -> str:
    """A place as an origin."""
    if place.line is None and not place.file.startswith("--"):
        return DEFAULT
    return ":".join(str(part) for part in (place.file, place.line, place.column) if part is not None)


def dropped(resolved: Resolved, path: Path) -> str:
    """What a changed `use` dropped, for the comment at this `use`; "" where nothing was."""
    return "; ".join(f"drops {one.name} of {one.of} ({spot(one.place)})" for one in lost(resolved, path[:-1]) if path[-1:] == ("use",))


def component(resolved: Resolved, path: Path) -> tuple[Bound, Path] | None:
    """The component whose block `path` is, or lies in, and the rest of the path."""
    for length in range(len(path), 0, -1):
        bound = resolved.components.get(dotted(path[:length]))
        if bound is not None:
            return bound, path[length:]
    return None


def meaning(resolved: Resolved, path: Path) -> str:
    """What the key at `path` means, as its model or its component says, or of what it is a part; "" where nobody does."""
    found = component(resolved, path)
    if found is not None:
        bound, rest = found
        if not rest:
            return f"{bound.full_name}: {bound.spec.summary}"
        if rest[0] == "params" and len(rest) > 1:
            return description(bound.spec.params, rest[1:])
        if rest == ("use",):
            return f"which {bound.spec.kind}; this one: {bound.spec.summary}"
    about = description(RunConfig, path)
    if about:
        return about
    for member in models(walk(RunConfig, path)):
        if member.__doc__:
            return member.__doc__.strip().splitlines()[0]
    return meaning(resolved, path[:-1]) if len(path) > 1 else ""


def lost(resolved: Resolved, path: Path) -> list[Dropped]:
    """The parameters of the component at `path` that a changed `use` dropped and nobody gave again."""
    block = at(resolved.root, path)
    params = None if block is None else block.child("params")
    given = {} if params is None else dict(params.children())
    return [] if block is None else [one for one in block.dropped if one.name not in given]
