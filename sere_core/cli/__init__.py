"""The commands `sere` and `sere-run`.

This module imports argparse and nothing else that takes time: each subcommand's module is imported when it is called.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import sere_core

#: subcommand -> its module (with `add_parser(subparsers)` and `run(args) -> int`), and what `sere --help` says of it
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("sere_core.cli.run", "run a config (the same as sere-run)"),
    "config": ("sere_core.cli.config", "show, check, explain and compare configs"),
    "compare": ("sere_core.cli.compare", "run rows x pairs x seeds under one harness, prove them equal but for what is varied, and test"),
    "sweep": ("sere_core.cli.sweep", "search settings for all rows of a comparison, without target labels"),
    "table": ("sere_core.cli.table", "print a table of a comparison or sweep"),
    "report": ("sere_core.cli.report", "write the report of a comparison or sweep"),
    "corpora": ("sere_core.cli.corpora", "check a corpus folder"),
    "plugins": ("sere_core.cli.plugins", "list the components of this environment; begin a new plugin"),
    "resonance": ("sere_core.cli.resonance", "draw what a trained run's field sees between two utterances"),
    "embeddings": ("sere_core.cli.embeddings", "draw where runs put the scored utterances, side by side"),
    "doctor": ("sere_core.cli.doctor", "is this environment fit for a run?"),
    "explain": ("sere_core.cli.explain", "explain an error code"),
}


#: objects between two collections of garbage: imports make many and drop few, and at Python's own 700 a start takes a fifth longer
_COLLECT_AFTER = 50_000


def main(argv: Sequence[str] | None = None) -> int:
    """The command `sere`; returns its exit code."""
    gc.set_threshold(_COLLECT_AFTER)
    words = list(sys.argv[1:] if argv is None else argv)

    def prepare() -> Callable[[], int]:
        parser = argparse.ArgumentParser("sere", description=_summary(), allow_abbrev=False)
        _add_version(parser)
        subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
        chosen = next((word for word in words if not word.startswith("-")), "")
        _without_pydantic_plugins()
        for name, (module, help_line) in COMMANDS.items():
            if name == chosen:
                importlib.import_module(module).add_parser(subparsers)
            else:
                subparsers.add_parser(name, help=help_line)
        arguments = parser.parse_args(words)
        if arguments.command is None:
            parser.print_help(sys.stderr)
            return lambda: 2
        command = importlib.import_module(COMMANDS[arguments.command][0])
        return lambda: int(command.run(arguments))

    return _guarded(prepare, words, last=argv is None)


def run_main(argv: Sequence[str] | None = None) -> int:
    """The command `sere-run`; returns its exit code."""
    gc.set_threshold(_COLLECT_AFTER)
    words = list(sys.argv[1:] if argv is None else argv)

    def prepare() -> Callable[[], int]:
        from sere_core.cli import run

        _without_pydantic_plugins()
        parser = argparse.ArgumentParser("sere-run", description="Run a config.", allow_abbrev=False)
        _add_version(parser)
        run.add_arguments(parser)
        arguments = parser.parse_args(words)
        return lambda: run.run(arguments)

    return _guarded(prepare, words, last=argv is None)


def _without_pydantic_plugins() -> None:
    """pydantic would look through all distributions for plugins of its own: slow, and one that cannot be read stops it."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def _summary() -> str:
    return "Semi-supervised and domain-adaptive cross-lingual speech emotion recognition, made of swappable parts."


def _add_version(parser: Any) -> None:
    parser.add_argument("--version", action="version", version=f"sere {sere_core.__version__}")


def _guarded(prepare: Callable[[], Callable[[], int]], words: Sequence[str], last: bool) -> int:
    """Turn the user's mistakes into lines and an exit code; let bugs keep their traceback.

    Args:
        prepare: gives what is to be run.
        words: of the command line.
        last: does the process end after this?  Then garbage is not looked for again: with torch that takes half a second.
    """
    try:
        try:
            return prepare()()
        finally:
            sys.stdout.flush()
            if last:
                gc.freeze()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `sere plugins | head`
        sys.stderr.close()
        return 0
    except Exception as problem:
        from sere_registry.errors import SereError

        if not isinstance(problem, SereError):
            from sere_core.cli.blame import damaged_metadata, name_the_plugin
            from sere_registry.catalog import Catalog

            catalog = Catalog()
            damaged = damaged_metadata(problem, catalog)
            if damaged is None:
                name_the_plugin(problem, catalog)
                raise
            damaged.__cause__ = problem
            problem = damaged
        if "--traceback" in words:
            import traceback

            traceback.print_exception(problem, file=sys.stderr)
            print(file=sys.stderr)
        print(problem, file=sys.stderr)
        return problem.exit_code
