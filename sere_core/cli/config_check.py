"""`sere config check CONFIG`: every mistake, and nothing run."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from sere_core.cli.run import add_config_arguments, read_config

if TYPE_CHECKING:
    from sere_registry.catalog import Catalog
    from sere_registry.errors import Problem


def add_arguments(parser: Any) -> None:
    add_config_arguments(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: Any) -> int:
    """Print what is wrong, all at once; 0 if nothing is, else the exit code of the first mistake (2 for the config's own).

    Raises:
        SereError: every mistake in the config.
    """
    from sere_core.config.source_code import check_factories
    from sere_registry.catalog import Catalog
    from sere_registry.errors import SereError

    catalog = Catalog(disable=arguments.disable)
    if not arguments.json:
        resolved = read_config(arguments, catalog=catalog)
        check_factories(resolved)
        count = len(_warnings(resolved, catalog))
        print(f"{arguments.config}: ok" + (f", {count} warning{'s' * (count != 1)}" if count else "") + f" (job {resolved.digest()})")
        return 0
    try:
        resolved = read_config(arguments, quiet=True, catalog=catalog)
        check_factories(resolved)
    except SereError as mistake:
        problems, warnings = map(_data, mistake.problems), map(_data, catalog.left_out_in_vain())
        print(json.dumps({"ok": False, "problems": list(problems), "warnings": list(warnings)}, indent=2))
        if arguments.traceback:
            import traceback

            traceback.print_exception(mistake, file=sys.stderr)
        return mistake.exit_code
    odd = [_data(problem) for problem in _warnings(resolved, catalog)]
    print(json.dumps({"ok": True, "job": resolved.digest(), "problems": [], "warnings": odd}, indent=2))
    return 0


def _warnings(resolved: Any, catalog: Catalog) -> list[Problem]:
    """All that is odd, and no error."""
    return [*catalog.left_out_in_vain(), *resolved.warnings, *catalog.left_out_in_vain(resolved.disabled)]


def _data(problem: Problem) -> dict[str, Any]:
    place = problem.place
    where = {"file": place.file, "line": place.line, "column": place.column, "path": place.path}
    return {"code": problem.code, "message": problem.message, "hint": problem.hint, **where}
