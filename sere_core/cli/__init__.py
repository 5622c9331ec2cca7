"""The commands `sere` and `sere-run`.  Their modules import torch, numpy and what needs them only inside a command."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from traceback import print_exception, walk_tb
from typing import TYPE_CHECKING

import sere_core

if TYPE_CHECKING:
    from sere_registry.errors import SereError


def main(argv: Sequence[str] | None = None) -> int:
    """The command `sere`; returns its exit code.  The user's mistakes are printed as lines, bugs keep their traceback."""
    # pydantic would look through all distributions for plugins of its own, and stop at one that cannot be read
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    words = list(sys.argv[1:] if argv is None else argv)

    try:
        try:
            return _run(words)
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
        if "--traceback" in words:
            print_exception(mistake)
            print(file=sys.stderr)
        print(mistake, file=sys.stderr)
        return mistake.exit_code


def _run(words: list[str]) -> int:
    made = parser()
    arguments = made.parse_args(words, Namespace(words=["sere", *words]))
    if "run" not in arguments:
        made.print_help(sys.stderr)
        return 2
    return int(arguments.run(arguments))


def run_main(argv: Sequence[str] | None = None) -> int:
    """The command `sere-run`, which is `sere run`; returns its exit code."""
    return main(["run", *(sys.argv[1:] if argv is None else argv)])


def parser() -> ArgumentParser:
    """The parser of `sere` and all its commands.

    A command is a module with `add_parser(subparsers)`: it calls `add_command` with the function that does the work, from
    the parsed arguments to the exit code, and adds the arguments.
    """
    from sere_core.cli import annotate, compare, config, corpora, doctor, explain, init, pictures, plugins, predict, run, train

    summary = "Semi-supervised and domain-adaptive cross-lingual speech emotion recognition, made of swappable parts."
    made = ArgumentParser("sere", description=summary, allow_abbrev=False)
    made.add_argument("--version", action="version", version=f"sere {sere_core.__version__}")
    commands = made.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for module in (init, run, train, predict, annotate, config, compare, corpora, plugins, pictures, doctor, explain):
        module.add_parser(commands)
    return made


def _mistake(problem: Exception) -> SereError | None:
    """The coded mistake that an exception is or comes from; None for a bug, which gets a note if a plugin's code raised it."""
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
