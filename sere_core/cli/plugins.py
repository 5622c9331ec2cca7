"""`sere plugins`: the components of this environment, the broken ones too."""

from __future__ import annotations

import json
from typing import Any


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("plugins", help="list the components of this environment", allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--traceback", action="store_true", help="show the tracebacks of broken plugins")


def run(arguments: Any, catalog: Any = None) -> int:
    """List every component: kind, name, distribution, version, state, summary."""
    from sere_registry.catalog import Catalog

    catalog = Catalog() if catalog is None else catalog
    entries = catalog.inspect()
    if arguments.json:
        rows = [
            {
                "kind": entry.kind,
                "name": entry.full_name,
                "distribution": entry.distribution,
                "version": entry.version,
                "state": entry.state,
                "summary": entry.loaded.summary if entry.loaded else "",
                "evidence": entry.loaded.evidence if entry.loaded else "",
                "cite": entry.loaded.cite if entry.loaded else "",
                "problem": str(entry.problem) if entry.problem else "",
            }
            for entry in entries
        ]
        print(json.dumps({"components": rows, "notes": catalog.notes}, indent=2, ensure_ascii=False))
        return 0
    table = [("KIND", "NAME", "DISTRIBUTION", "VERSION", "STATE", "SUMMARY")]
    for entry in entries:
        summary = entry.loaded.summary if entry.loaded else f"[{entry.problem.code}] see below" if entry.problem else ""
        table.append((entry.kind, entry.full_name, entry.distribution, entry.version, entry.state, summary))
    widths = [max(len(row[column]) for row in table) for column in range(5)]
    for row in table:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5]]).rstrip())
    for entry in entries:
        if entry.problem is not None and entry.state != "disabled":
            print(f"\n{entry.problem}")
            if arguments.traceback and entry.cause is not None:
                import traceback

                print("".join(traceback.format_exception(entry.cause)), end="")
    for note in catalog.notes:
        print(f"\nnot listed: {note}")
    return 0
