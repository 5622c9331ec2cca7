"""`sere config explain CONFIG [PATH]`: what each key means, its value, and who set it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sere_core.cli.run import add_config_arguments, read_config

if TYPE_CHECKING:
    from sere_core.config import Resolved


def add_arguments(parser: Any) -> None:
    add_config_arguments(parser)
    parser.add_argument("path", metavar="PATH", nargs="?", default="", help="only what is at or below it, e.g. losses.adapt")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: Any) -> int:
    """Print one block for each key.

    Raises:
        SereError: every mistake in the config; C302 if nothing stands at PATH.
    """
    from sere_core.config.yaml_text import flow

    rows = list(explained(read_config(arguments), arguments.path))
    if arguments.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    for row in rows:
        value = "" if row["section"] else f" = {flow(row['value'])}"
        print(f"{row['path']}{value}" + ("" if row["section"] else f"    ({row['origin']})"))
        if row["meaning"]:
            print(textwrap.fill(row["meaning"], 110, initial_indent="    ", subsequent_indent="    "))
        if row["choices"]:
            print(f"    {row['choices']}")
    return 0


def explained(resolved: Resolved, path: str = "") -> Iterator[dict[str, Any]]:
    """A row for each section, component and value at or below `path`.

    Raises:
        SereError: C302 if nothing stands there.
    """
    from sere_core.config.model import RunConfig
    from sere_core.config.nodes import dotted
    from sere_core.cli.origins import component, meaning, origin
    from sere_core.config.validation import keys, walk
    from sere_registry.errors import error, suggest

    data: Any = resolved.config.model_dump(mode="json")
    steps = tuple(path.split(".")) if path else ()
    for index, part in enumerate(steps):
        known = list(data) if isinstance(data, dict) else [str(number) for number in range(len(data))] if isinstance(data, list) else []
        if part not in known:
            where = dotted(steps[:index]) or "the config"
            found = component(resolved, steps[:index])
            model = found[0].spec.params if found is not None and found[1] == ("params",) else walk(RunConfig, steps[:index])
            raise error("C302", f"nothing stands at {path}", suggest(part, [*known, *(keys(model) or [])], f"keys of {where}"), path)
        data = data[int(part)] if isinstance(data, list) else data[part]

    def rows(value: Any, here: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        nested = isinstance(value, dict) and bool(value)
        nested = nested or (isinstance(value, list) and any(isinstance(item, dict) for item in value))
        if not nested or (here and here[-1] != "params"):
            about = {"path": dotted(here), "section": nested, "value": value, "origin": origin(resolved, here)}
            yield {**about, "meaning": meaning(resolved, here), "choices": _choices(resolved, here)}
        if nested:
            children = value.items() if isinstance(value, dict) else ((str(index), item) for index, item in enumerate(value))
            for name, child in children:
                yield from rows(child, (*here, name))

    yield from rows(data, steps)


def _choices(resolved: Resolved, path: tuple[str, ...]) -> str:
    """The type, bounds and default of a parameter."""
    from sere_core.cli.parameters import parameters
    from sere_core.cli.origins import component

    found = component(resolved, path)
    if found is None or found[1][:1] != ("params",):
        return ""
    for row in parameters(found[0].spec.params):
        if row.name == ".".join(found[1][1:]):
            default = "required" if row.required else f"default {json.dumps(row.default, ensure_ascii=False)}"
            return ", ".join([row.type, *row.bounds, default])
    return ""
