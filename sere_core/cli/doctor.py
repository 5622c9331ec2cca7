"""`sere doctor`: is this environment fit for a run?  Answered from metadata and files; nothing heavy is imported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sere_core.cli.environment import Finding

_MARKS = {"ok": "ok  ", "note": "note", "bad": "BAD "}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("doctor", help="is this environment fit for a run?", allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of errors too")


def run(arguments: Any, catalog: Any = None) -> int:
    """Print what there is and what is wrong; 4 if the environment is broken, 3 if only plugins are, else 0."""
    from sere_registry.catalog import Catalog

    findings = list(examine(Catalog() if catalog is None else catalog))
    bad = [finding for finding in findings if finding.problem is not None and finding.state == "bad"]
    code = 0 if not bad else 4 if any(finding.problem.code[0] == "X" for finding in bad if finding.problem) else 3
    if arguments.json:
        print(json.dumps({"ok": code == 0, "findings": [finding.data() for finding in findings]}, indent=2, ensure_ascii=False))
        return code
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{_MARKS[finding.state]}  {finding.name.ljust(width)}  {finding.text}")
    for finding in findings:
        if finding.problem is not None:
            print(f"\n{finding.problem}")
    return code


def examine(catalog: Any) -> Iterator[Finding]:
    """Every finding, the good ones too."""
    from sere_core.cli import environment
    from sere_core.cli.environment import Finding
    from sere_core.cli.plugins_doctor import HARMLESS, diagnose

    yield from environment.examine()
    problems = diagnose(catalog)
    broken = [problem for _, problem in problems if problem.code not in HARMLESS]
    yield Finding("plugins", "bad" if broken else "ok", f"{len(catalog.entries)} components announced, {len(broken)} broken")
    for where, problem in problems:
        name = f"plugin {where['distribution']}".strip()
        yield Finding(
            name,
            "note" if problem.code in HARMLESS else "bad",
            f"{where['kind']} {where['name']}: {problem.code}, see below".strip(),
            problem,
        )
