"""`sere config show CONFIG`: the resolved config; with `--origins`, who set each value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sere_core.cli.run import add_config_arguments, read_config

if TYPE_CHECKING:
    from sere_core.config import Resolved

_COLUMN = 56  # where origins begin, if lines are not longer


def add_arguments(parser: Any) -> None:
    add_config_arguments(parser)
    parser.add_argument("--origins", action="store_true", help="beside each value the file:line:column or --set that set it")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: Any) -> int:
    """Print the resolved config; its digest stands in the first line, as a comment."""
    from sere_core.config.files import shown

    resolved = read_config(arguments)
    sources = [shown(file) for file in resolved.sources]
    if arguments.json:
        about: dict[str, Any] = {"job": resolved.digest(), "sources": sources, "config": resolved.config.model_dump(mode="json")}
        if arguments.origins:
            about["origins"] = origins(resolved)
            about["dropped"] = dropped(resolved)
        print(json.dumps(about, indent=2, ensure_ascii=False))
        return 0
    print(f"# job {resolved.digest()}, from {', '.join(sources)}")
    print(annotated(resolved) if arguments.origins else resolved.dump(), end="")
    return 0


def origins(resolved: Resolved) -> dict[str, str]:
    """Dotted path of each value -> who set it."""
    from sere_core.config.nodes import leaves
    from sere_core.config.nodes import dotted
    from sere_core.cli.origins import origin

    return {dotted(path): origin(resolved, path) for path, _ in leaves(resolved.config.model_dump(mode="json"))}


def dropped(resolved: Resolved) -> dict[str, list[dict[str, str]]]:
    """Component -> the parameters that went when its `use` was changed, and who had set them."""
    from sere_core.cli.origins import spot

    from sere_core.cli.origins import lost

    found = {path: lost(resolved, tuple(path.split("."))) for path in resolved.components}
    return {path: [{"param": one.name, "of": one.of, "origin": spot(one.place)} for one in gone] for path, gone in found.items() if gone}


def annotated(resolved: Resolved) -> str:
    """The config as YAML, each value with its origin as a comment; it loads as the config that it is."""
    lines = list(_lines(resolved, resolved.config.model_dump(mode="json"), (), ""))
    width = min(_COLUMN, max((len(line) for line, comment in lines if comment), default=0))
    return "".join(f"{line.ljust(width)}  # {comment}\n" if comment else f"{line}\n" for line, comment in lines)


def _lines(resolved: Resolved, data: Any, path: tuple[str, ...], indent: str) -> Iterator[tuple[str, str]]:
    from sere_core.cli import origins as known
    from sere_core.config.yaml_text import flow

    for name, child in data.items():
        here = (*path, name)
        if isinstance(child, dict) and child:
            yield f"{indent}{flow(name)}:", ""
            yield from _lines(resolved, child, here, indent + "  ")
        elif isinstance(child, list) and any(isinstance(item, dict) for item in child):
            yield f"{indent}{flow(name)}:", ""
            for index, item in enumerate(child):
                first = True
                for line, comment in _lines(resolved, item, (*here, str(index)), indent + "  "):
                    yield (f"{indent}- {line[len(indent) + 2 :]}" if first else line), comment
                    first = False
        else:
            comments = (known.origin(resolved, here), known.dropped(resolved, here))
            yield f"{indent}{flow(name)}: {flow(child)}", "; ".join(filter(None, comments))
