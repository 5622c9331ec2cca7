"""How a command ends: the user's mistakes as lines and an exit code, bugs with their traceback and whose code it is."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from traceback import walk_tb

    from sere_registry.catalog import Catalog
    from sere_registry.errors import SereError, error
    from sere_registry.kinds import FIRST_PARTY

    if isinstance(problem, SereError):
        return problem
    catalog, frames = Catalog(), list(walk_tb(problem.__traceback__))
    # torch and pydantic read the metadata of all distributions when imported, and stop at the first that is damaged
    reader = str(Path(importlib.metadata.__file__).parent)
    if any(frame.f_code.co_filename.startswith(reader) for frame, _ in frames) and catalog.entries and catalog.notes:
        hint = f"install these again, or uninstall them: {'; '.join(catalog.notes)}"
        damaged = error("X701", "a library that runs need cannot read the distributions of this environment", hint)
        damaged.__cause__ = problem
        return damaged
    others = [entry for entry in catalog.entries if entry.distribution != FIRST_PARTY]
    owners = {entry.value.partition(":")[0].partition(".")[0]: entry for entry in others}
    for frame, line in reversed(frames):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        where, entry = f"{frame.f_code.co_filename}:{line}", owners.get(package)
        if package.startswith("sere_local_"):
            problem.add_note(f"{where} is plugin code: this is for its author, not a bug of sere")
            break
        if entry is not None:
            hint = f"update it, tell its author, or leave it out: SERE_DISABLE={entry.distribution}"
            problem.add_note(f"{where} is code of {entry.owner}: {hint}")
            break
    return None
