"""`sere plugins doctor`: every entry point that cannot be used, one coded line each, with the way out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sere_registry.catalog import Catalog
    from sere_registry.errors import Problem

#: findings that break no run that was not asked for them: the user's own choice, or an extra that is not installed
HARMLESS = frozenset({"P107", "P108"})


def add_arguments(parser: Any) -> None:
    """No arguments of its own."""


def run(arguments: Any, catalog: Catalog) -> int:
    """Print what is wrong; 3 if anything is broken, else 0."""
    problems = diagnose(catalog)
    broken = [problem for _, problem in problems if problem.code not in HARMLESS]
    if arguments.json:
        rows = [
            {**where, "code": problem.code, "message": problem.message, "hint": problem.hint, "broken": problem.code not in HARMLESS}
            for where, problem in problems
        ]
        print(json.dumps({"components": len(catalog.entries), "problems": rows}, indent=2, ensure_ascii=False))
        return 3 if broken else 0
    for _, problem in problems:
        print(problem)
    if getattr(arguments, "traceback", False):
        import traceback

        for entry in catalog.entries:
            if entry.cause is not None:
                traceback.print_exception(entry.cause, file=sys.stderr)
    print(f"{len(catalog.entries)} components announced, {len(broken)} broken, {len(problems) - len(broken)} disabled or incomplete")
    return 3 if broken else 0


def diagnose(catalog: Catalog) -> list[tuple[dict[str, str], Problem]]:
    """Every finding, with kind, name, distribution and version of the entry that it is about."""
    from sere_registry.errors import Problem

    found = [(_where(entry), problem) for entry in catalog.inspect() for problem in _of(entry)]
    found += list(twins(catalog))
    nowhere = {"kind": "", "name": "", "distribution": "", "version": ""}
    found += [(nowhere, Problem("P102", note, "install this distribution again, or uninstall it")) for note in catalog.notes]
    found += [(nowhere, warning) for warning in catalog.left_out_in_vain()]
    return found


def _of(entry: Any) -> Iterator[Problem]:
    from sere_core.config.source_code import missing_factory

    problem = entry.problem or missing_factory(entry.spec, entry.full_name, entry.distribution, entry.version)
    if problem is not None:
        yield problem


def twins(catalog: Catalog) -> Iterator[tuple[dict[str, str], Problem]]:
    """Full names that more than one distribution announces."""
    from sere_registry.entries import noun
    from sere_registry.errors import Problem

    groups: dict[tuple[str, str], list[Any]] = {}
    for entry in catalog.entries:
        if not entry.usurps and entry.state != "disabled":
            groups.setdefault((entry.kind, entry.full_name), []).append(entry)
    for (_, name), entries in groups.items():
        if len(entries) > 1:
            owners = " and ".join(entry.owner for entry in entries)
            last = entries[-1]
            hint = f"uninstall one of them, or leave one out: SERE_DISABLE={last.distribution}"
            yield _where(last), Problem("R203", f"{noun(last.kind)} '{name}' is announced by both {owners}", hint)


def _where(entry: Any) -> dict[str, str]:
    return {"kind": entry.kind, "name": entry.full_name, "distribution": entry.distribution, "version": entry.version}
