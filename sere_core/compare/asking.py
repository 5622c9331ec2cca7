"""From the command line to a plan: the plan of last time where nothing has changed, a new one else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sere_core.compare.asked import Inputs
from sere_core.compare.grammar import Flags, Request, read_request
from sere_core.compare.plan import ComparePlan
from sere_core.config.yaml_text import write
from sere_registry.errors import SereError, error


def plan_of(config: str, flags: Flags, *, dry: bool = False) -> tuple[ComparePlan, Path, tuple[str, ...]]:
    """The plan of a comparison, its folder, and what is odd about it.

    An unchanged comparison is not planned again, and its warnings are not repeated.

    Args:
        config: a comparison file, a run's config, or the name of one that comes with sere.
        flags: what the command line adds.
        dry: write nothing.

    Raises:
        SereError: the problems of the file, or of all jobs together.
    """
    request = read_request(config, flags)
    if request.comparison.tune is not None:
        hint = "`sere sweep` does that and prints their table; to compare the rows as they are, take `tune` away"
        raise error("C311", "the settings of these rows are to be searched", hint, request.place("tune"))
    folder = request.output
    command = command_of(request, flags)
    known = _unchanged(folder, command)
    if known is not None:
        return known, folder, ()
    from sere_core.compare.planning import make_plans

    planned = make_plans(request, command)
    if not dry:
        planned.write(folder, asked_text(request))
    return planned.plan, folder, planned.warnings


def command_of(request: Request, flags: Flags) -> dict[str, Any]:
    """What of the command line a plan depends on."""
    return {"config": str(request.file), "folder": os.getcwd(), **{name: _plain(value) for name, value in asdict(flags).items()}}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _unchanged(folder: Path, command: Mapping[str, Any]) -> ComparePlan | None:
    """The plan in the folder, if everything that it was made of is as it was."""
    inputs = Inputs.read(folder)
    if inputs is None or inputs.command != command:
        return None
    try:
        plan = ComparePlan.read(folder)
    except SereError:
        return None
    return plan if plan.asked == inputs.digest() else None


def asked_text(request: Request) -> str:
    """The comparison as a file that can be called again: flags are in it, the base by its whole path."""
    data = request.root.data() | {"base": str(request.sources.files[0]), "output": str(request.output)}
    flags = [f"--set {text}" for text in request.flags.sets] + [f"--unset {text}" for text in request.flags.unsets]
    return "".join(f"# called with {flag}\n" for flag in flags) + write(data)
