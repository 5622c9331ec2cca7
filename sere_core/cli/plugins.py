"""`sere plugins`: the components of this environment, the broken ones too; and `info`, `doctor`, `check` and `new`."""

from __future__ import annotations

import importlib
import json
from argparse import SUPPRESS
from typing import Any

#: verb -> its module (with `add_arguments(parser)` and `run(arguments, catalog)`), and what `--help` says of it
VERBS: dict[str, tuple[str, str]] = {
    "info": ("sere_core.cli.plugins_info", "all about one component"),
    "doctor": ("sere_core.cli.plugins_doctor", "what is wrong with the plugins of this environment"),
    "check": ("sere_core.cli.check", "does a plugin keep what its kind promises? run the conformance kit"),
    "new": ("sere_core.cli.plugins_new", "write the package of a new plugin"),
}
#: as `sere_registry.kinds.Kind`, which takes longer to import than `--help` may take
KINDS = ("corpus", "encoder", "dynamics", "resonance", "loss", "method", "view", "selector", "hook")


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("plugins", help="list the components of this environment", allow_abbrev=False)
    parser.add_argument("--kind", choices=KINDS, default=None, metavar="KIND", help=f"only these: {', '.join(KINDS)}")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--traceback", action="store_true", help="show the tracebacks of broken plugins")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    for verb, (module, line) in VERBS.items():
        child = verbs.add_parser(verb, help=line, description=f"{line.capitalize()}.", allow_abbrev=False)
        importlib.import_module(module).add_arguments(child)
        # absent here does not mean False: they may have stood before the verb
        child.add_argument("--json", action="store_true", default=SUPPRESS, help="as JSON")
        child.add_argument("--traceback", action="store_true", default=SUPPRESS, help="show the traceback of errors too")


def run(arguments: Any, catalog: Any = None) -> int:
    """List every component: kind, name, distribution, version, state, summary; or what the verb says."""
    from sere_core.cli.plugins_doctor import twins
    from sere_registry.catalog import Catalog

    catalog = Catalog() if catalog is None else catalog
    verb = getattr(arguments, "verb", None)
    if verb is not None:
        return int(importlib.import_module(VERBS[verb][0]).run(arguments, catalog))
    kind = getattr(arguments, "kind", None)
    entries = [entry for entry in catalog.inspect() if kind in (None, entry.kind)]
    doubled = {(where["kind"], where["name"]): problem for where, problem in twins(catalog) if kind in (None, where["kind"])}
    rows = [row(entry, doubled.get((entry.kind, entry.full_name))) for entry in entries]
    if arguments.json:
        print(json.dumps({"components": rows, "notes": catalog.notes}, indent=2, ensure_ascii=False))
        return 0
    table = [("KIND", "NAME", "DISTRIBUTION", "VERSION", "STATE", "SUMMARY")]
    for about in rows:
        summary = f"{about['problem'].partition(' ')[0]} see below" if about["problem"] else about["summary"]
        table.append((about["kind"], about["name"], about["distribution"], about["version"], about["state"], summary))
    widths = [max(len(cells[column]) for cells in table) for column in range(5)]
    for cells in table:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)), cells[5]]).rstrip())
    for entry in entries:
        if entry.problem is not None and entry.state != "disabled":
            print(f"\n{entry.problem}")
            if arguments.traceback and entry.cause is not None:
                import traceback

                print("".join(traceback.format_exception(entry.cause)), end="")
    for problem in doubled.values():
        print(f"\n{problem}")
    for note in catalog.notes:
        print(f"\nnot listed: {note}")
    return 0


def row(entry: Any, twin: Any = None) -> dict[str, str]:
    """What a listing says of an entry; `twin` is the problem of a name that stands twice."""
    twin = twin if entry.loaded else None
    return {
        "kind": entry.kind,
        "name": entry.full_name,
        "distribution": entry.distribution,
        "version": entry.version,
        "state": "duplicate" if twin else entry.state,
        "summary": entry.loaded.summary if entry.loaded else "",
        "evidence": entry.loaded.evidence if entry.loaded else "",
        "cite": entry.loaded.cite if entry.loaded else "",
        "problem": str(twin or entry.problem or ""),
    }
