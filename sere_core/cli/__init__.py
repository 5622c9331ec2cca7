"""The commands `sere` and `sere-run`.  Their modules import torch, numpy and what needs them only inside a command."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

import sere_core
from sere_core.cli.failures import guarded


def main(argv: Sequence[str] | None = None) -> int:
    """The command `sere`; returns its exit code."""
    # pydantic would look through all distributions for plugins of its own, and stop at one that cannot be read
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    words = list(sys.argv[1:] if argv is None else argv)

    def run() -> int:
        made = parser()
        arguments = made.parse_args(words, Namespace(words=["sere", *words]))
        if "run" not in arguments:
            made.print_help(sys.stderr)
            return 2
        return int(arguments.run(arguments))

    return guarded(run, traceback="--traceback" in words)


def run_main(argv: Sequence[str] | None = None) -> int:
    """The command `sere-run`, which is `sere run`; returns its exit code."""
    return main(["run", *(sys.argv[1:] if argv is None else argv)])


def parser() -> ArgumentParser:
    """The parser of `sere` and all its commands; each sets `run`, a function of the parsed arguments."""
    from sere_core.cli import compare, config, corpora, doctor, explain, pictures, plugins, run

    summary = "Semi-supervised and domain-adaptive cross-lingual speech emotion recognition, made of swappable parts."
    made = ArgumentParser("sere", description=summary, allow_abbrev=False)
    made.add_argument("--version", action="version", version=f"sere {sere_core.__version__}")
    commands = made.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for module in (run, config, compare, corpora, plugins, pictures, doctor, explain):
        module.add_parser(commands)
    return made
