"""`sere compare FILE`: rows x pairs x seeds of runs that differ in nothing but what is varied, and their table."""

from __future__ import annotations

import shlex
import sys
from typing import Any

from sere_core.cli.many_runs import add_arguments, check_executor, run_missing

_EXAMPLES = """\
examples:
  sere compare compare/small
  sere compare comparison.yaml --dry-run
  sere compare sere_default --vary losses.adapt.use=tric,coral --pairs 'xa>xb,xb>xa' --seeds 5 --out runs/two

The same command goes on after an interruption, and runs only what is missing.
exit codes: 0 all runs are done, 1 some failed or the runs are not comparable, 2 config or usage, 3 a plugin, 4 the environment,
130 interrupted"""


def add_parser(subparsers: Any) -> None:
    """Add the command to `sere`."""
    from argparse import RawDescriptionHelpFormatter

    parser = subparsers.add_parser(
        "compare",
        help="compare methods under one harness",
        description="Run what a comparison asks for and is not there yet, prove that the runs are comparable, print the table.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "config",
        metavar="FILE",
        help="a comparison (YAML with `compare: NAME`), or a config to vary; or the name of one that comes with sere",
    )
    parser.add_argument(
        "--vary", action="append", default=[], metavar="A.B=V,V", help="rows: a path and its values; repeated, axes are crossed"
    )
    parser.add_argument("--pairs", metavar="S>T,S>T", help="pairs of corpora, source first, or `all`; default: the config's own")
    parser.add_argument("--seeds", metavar="N", help="how many, from 0, or a list with commas; default: 1")
    parser.add_argument("--floor", action="append", default=[], metavar="ROW", help="a row that adapts to nothing; may be repeated")
    parser.add_argument(
        "--ceiling", action="append", default=[], metavar="ROW", help="a row that learns from the target's own labels; may be repeated"
    )
    parser.add_argument("--reference", metavar="ROW", help="the row that all others are tested against; default: the first method")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="NAME",
        help="a difference between runs that is allowed and told below the table, e.g. versions.torch",
    )
    parser.add_argument("--out", metavar="DIR", help="the comparison's folder; default: runs/NAME")
    add_arguments(parser)


def run(arguments: Any) -> int:
    """Plan, run what is missing, prove, print.

    Raises:
        SereError: what is wrong with the comparison, or why its runs do not share a table.
    """
    from sere_core.compare.grammar import Flags
    from sere_core.compare.planning import plan_comparison
    from sere_core.compare.progress import finish
    from sere_core.console import Speaker

    check_executor(arguments)
    speaker = Speaker(arguments.quiet)
    planned = plan_comparison(arguments.config, Flags.of(arguments))
    if not arguments.dry_run:
        planned.write()
    try:
        if not run_missing(arguments, planned, speaker):
            return 0
    except KeyboardInterrupt:
        print(f"\ninterrupted; what is done is kept; to go on: {_command(arguments)}", file=sys.stderr)
        return 130
    return finish(planned.folder, speaker.console)


def _command(arguments: Any) -> str:
    """The command line that goes on."""
    words = ["sere", "compare", arguments.config]
    for name, flag in (("vary", "--vary"), ("sets", "--set"), ("unsets", "--unset"), ("floor", "--floor"), ("ceiling", "--ceiling")):
        for text in getattr(arguments, name):
            words += [flag, text]
    for text in arguments.allow:
        words += ["--allow", text]
    for name in ("pairs", "seeds", "reference", "out", "jobs", "scheduler"):
        if getattr(arguments, name) is not None:
            words += [f"--{name}", str(getattr(arguments, name))]
    return shlex.join(words)
