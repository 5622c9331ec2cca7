"""`sere plugins info NAME`: all that a component declares, and what its code reads; nothing heavy is imported."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

_ASKS = {"loss": "reads", "selector": "reads", "hook": "listens to"}


def add_arguments(parser: Any) -> None:
    from sere_core.cli.plugins import KINDS

    parser.add_argument("name", metavar="NAME", help="its short or full name, or file:PATH:ATTRIBUTE")
    parser.add_argument("--kind", choices=KINDS, default=None, metavar="KIND", help="where several kinds have that name")


def run(arguments: Any, catalog: Any) -> int:
    """Print the component.

    Raises:
        SereError: R201 to R204 (the name), or what is wrong with its plugin.
    """
    kind = arguments.kind or _kind_of(arguments.name, catalog)
    about = describe(catalog.find(kind, arguments.name))
    if arguments.json:
        print(json.dumps(about, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_lines(about)))
    return 0


def describe(entry: Any) -> dict[str, Any]:
    """All about a loaded entry, as JSON data."""
    from sere_core.cli.parameters import parameters
    from sere_core.config.source_code import reads
    from sere_core.config.source_code import module_file

    spec = entry.spec
    file = module_file(spec.factory.partition(":")[0])
    return {
        "kind": entry.kind,
        "name": entry.full_name,
        "short_name": entry.short_name,
        "summary": spec.summary,
        "evidence": spec.evidence,
        "cite": spec.cite,
        "tags": list(spec.tags),
        "distribution": entry.distribution,
        "version": entry.version,
        "state": entry.state,
        "api": spec.api,
        "spec": entry.value,
        "factory": spec.factory,
        "file": "" if file is None else str(file),
        "needs": list(spec.needs),
        "extra": spec.extra,
        "reads": {name: list(arguments) for name, arguments in reads(entry.kind, spec.factory).items()},
        "parameters": [row.data() for row in parameters(spec.params)],
    }


def _kind_of(name: str, catalog: Any) -> Any:
    from sere_registry.entries import WORDS
    from sere_registry.errors import error, suggest

    if name.startswith("file:"):
        raise error("C302", f"'{name}' does not say its kind", "add --kind, e.g. --kind loss")
    kinds = list(dict.fromkeys(entry.kind for entry in catalog.entries if name in (entry.full_name, entry.short_name)))
    if len(kinds) > 1:
        choices = " or ".join(f"--kind {kind}" for kind in kinds)
        raise error("R202", f"'{name}' is {' and '.join(WORDS[kind] for kind in kinds)}", f"add {choices}")
    if not kinds:
        every = [entry.full_name if "." in name else entry.short_name for entry in catalog.entries]
        raise error("R201", f"no component named '{name}'", suggest(name, every, "components"))
    return kinds[0]


def _lines(about: dict[str, Any]) -> Iterator[str]:
    yield f"{about['kind']} {about['name']}"
    yield from _wrapped(about["summary"], "  ")
    yield ""
    facts = {
        "evidence": about["evidence"],
        "source": about["cite"],
        "tags": ", ".join(about["tags"]),
        "from": f"{about['distribution']} {about['version']} (api {about['api']})",
        "spec": about["spec"],
        "built by": about["factory"],
        "file": about["file"],
        "needs": ", ".join(about["needs"]),
    }
    for name, arguments in about["reads"].items():
        label = _ASKS.get(about["kind"], "reads")
        facts[label if len(about["reads"]) == 1 else f"{label} ({name})"] = ", ".join(arguments)
    width = max(map(len, facts))
    yield from (f"  {name.ljust(width)}  {value}" for name, value in facts.items() if value)
    yield ""
    if not about["parameters"]:
        yield "no parameters"
        return
    yield "parameters (below `params`):"
    for row in about["parameters"]:
        yield from _parameter(row)


def _parameter(row: dict[str, Any]) -> Iterator[str]:
    default = "required" if row["required"] else f"default {json.dumps(row['default'], ensure_ascii=False)}"
    search = row["search"]
    if not search:
        found = ""
    elif search[0] == "choice":
        found = f"search {' | '.join(map(str, search[1]))}"
    else:
        found = f"search {search[1]} to {search[2]} ({search[0]})"
    yield f"  {row['name']}: " + ", ".join(_known([row["type"], *row["bounds"], default, found]))
    yield from _wrapped(row["description"], "      ")


def _known(words: Iterable[str]) -> list[str]:
    return [word for word in words if word]


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, 116, initial_indent=indent, subsequent_indent=indent)
