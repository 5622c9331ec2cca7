"""How a command ends: the user's mistakes as lines and an exit code, bugs with their traceback and whose code it is."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sere_registry.catalog import Catalog
    from sere_registry.errors import SereError


def guarded(run: Callable[[], int], traceback: bool) -> int:
    """The exit code of `run`, or of the mistake that it raised, which is printed.

    Args:
        run: the command.
        traceback: print that of a mistake too?
    """
    try:
        try:
            return run()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `sere plugins | head`
        sys.stderr.close()
        return 0
    except Exception as problem:
        mistake = _mistake(problem)
        if mistake is None:
            raise
        if traceback:
            from traceback import print_exception

            print_exception(mistake, file=sys.stderr)
            print(file=sys.stderr)
        print(mistake, file=sys.stderr)
        return mistake.exit_code


def _mistake(problem: Exception) -> SereError | None:
    """The coded mistake that an exception is or comes from; None for a bug, which gets a note if a plugin's code raised it."""
    from sere_registry.catalog import Catalog
    from sere_registry.errors import SereError

    if isinstance(problem, SereError):
        return problem
    catalog = Catalog()
    damaged = _damaged_metadata(problem, catalog)
    if damaged is None:
        _name_the_plugin(problem, catalog)
        return None
    damaged.__cause__ = problem
    return damaged


def _damaged_metadata(problem: Exception, catalog: Catalog) -> SereError | None:
    """X701 for an exception that some library met while it read the metadata of all distributions; None for others.

    torch and pydantic look through all of them when they are imported, and stop at the first that cannot be read.
    """
    from traceback import walk_tb

    from sere_registry.errors import error

    reader = str(Path(importlib.metadata.__file__).parent)
    if not any(frame.f_code.co_filename.startswith(reader) for frame, _ in walk_tb(problem.__traceback__)):
        return None
    if not catalog.entries or not catalog.notes:
        return None
    hint = f"install these again, or uninstall them: {'; '.join(catalog.notes)}"
    return error("X701", "a library that runs need cannot read the distributions of this environment", hint)


def _name_the_plugin(problem: Exception, catalog: Catalog) -> None:
    """A note below the traceback that says whose code raised, if it is not sere's."""
    from traceback import walk_tb

    from sere_registry.kinds import FIRST_PARTY

    owners = {entry.value.partition(":")[0].partition(".")[0]: entry for entry in catalog.entries if entry.distribution != FIRST_PARTY}
    for frame, line in reversed(list(walk_tb(problem.__traceback__))):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        where = f"{frame.f_code.co_filename}:{line}"
        if package.startswith("sere_local_"):
            problem.add_note(f"{where} is plugin code: this is for its author, not a bug of sere")
            return
        if package in owners:
            entry = owners[package]
            hint = f"update it, tell its author, or leave it out: SERE_DISABLE={entry.distribution}"
            problem.add_note(f"{where} is code of {entry.owner}: {hint}")
            return
