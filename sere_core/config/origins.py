"""Where each value of a resolved config comes from, and what it means."""

from __future__ import annotations

from sere_core.config.model import RunConfig
from sere_core.config.nodes import Path, dotted
from sere_core.config.resolved import Bound, Resolved
from sere_core.config.schema import description, is_model, members, walk
from sere_registry.errors import Place

DEFAULT = "default"


def origin(resolved: Resolved, path: Path) -> str:
    """Who set this value: `file:line:column`, `--set ...`, or `default`."""
    place = resolved.places.get(dotted(path))
    return spot(place) if place is not None and path else DEFAULT


def spot(place: Place) -> str:
    """A place as an origin."""
    if place.line is None and not place.file.startswith("--"):
        return DEFAULT
    return ":".join(str(part) for part in (place.file, place.line, place.column) if part is not None)


def dropped(resolved: Resolved, path: Path) -> str:
    """What a changed `use` dropped, for the comment at this `use`; "" where nothing was."""
    gone = resolved.dropped.get(dotted(path[:-1]), ()) if path[-1:] == ("use",) else ()
    return "; ".join(f"drops {one.name} of {one.of} ({spot(one.place)})" for one in gone)


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
    for member in members(walk(RunConfig, path)):
        if is_model(member) and member.__doc__:
            return str(member.__doc__).strip().splitlines()[0]
    return meaning(resolved, path[:-1]) if len(path) > 1 else ""
