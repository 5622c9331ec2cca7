"""The commands `sere` and `sere-run`.  Their modules import what takes time when it is needed, never torch to parse."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence

import sere_core
from sere_core.cli.failures import guarded


def main(argv: Sequence[str] | None = None) -> int:
    """The command `sere`; returns its exit code."""
    return _call(parser, argv)


def run_main(argv: Sequence[str] | None = None) -> int:
    """The command `sere-run`; returns its exit code."""
    return _call(_run_parser, argv)


def parser() -> ArgumentParser:
    """The parser of `sere` and all its commands; each sets `run`, a function of the parsed arguments."""
    from sere_core.cli import compare, config, corpora, doctor, explain, pictures, plugins, run

    summary = "Semi-supervised and domain-adaptive cross-lingual speech emotion recognition, made of swappable parts."
    made = ArgumentParser("sere", description=summary, allow_abbrev=False)
    commands = made.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for module in (run, config, compare, corpora, plugins, pictures, doctor, explain):
        module.add_parser(commands)
    return made


def _run_parser() -> ArgumentParser:
    from sere_core.cli import run

    made = ArgumentParser("sere-run", description="Run a config.", allow_abbrev=False)
    made.add_argument("--traceback", action="store_true", help="show the traceback of errors too")
    run.add_arguments(made)
    return made


def _call(parser: Callable[[], ArgumentParser], argv: Sequence[str] | None) -> int:
    # pydantic would look through all distributions for plugins of its own, and stop at one that cannot be read
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    words = list(sys.argv[1:] if argv is None else argv)

    def run() -> int:
        made = parser()
        made.add_argument("--version", action="version", version=f"sere {sere_core.__version__}")
        arguments: Namespace = made.parse_args(words)
        if "run" not in arguments:
            made.print_help(sys.stderr)
            return 2
        return int(arguments.run(arguments))

    return guarded(run, traceback="--traceback" in words)
