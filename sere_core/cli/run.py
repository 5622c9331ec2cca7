"""`sere-run CONFIG`, which `sere run CONFIG` is too."""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace

import sere_core
from sere_core.cli.arguments import (
    OUTSIDE,
    Subparsers,
    add_command,
    add_config_arguments,
    add_trust,
    read_config,
    read_to_start,
    run_command,
)
from sere_core.config.source_code import check_factories

_EXAMPLES = """\
examples:
  sere-run sere_default
  sere-run configs/sere_default.yaml --set train.epochs=5 --set losses.adapt.use=coral
  sere-run my.yaml --seed 3 --dry-run

exit codes: 0 done, 1 the run failed, 2 config or usage, 3 a plugin, 4 the environment, 130 interrupted"""


def add_parser(subparsers: Subparsers) -> None:
    parser = add_command(subparsers, "run", run, _EXAMPLES)
    parser.add_argument("--version", action="version", version=f"sere {sere_core.__version__}")
    add_config_arguments(parser)
    help = "check the config and the data, and say what the run would do"
    parser.add_argument("--dry-run", action="store_true", help=help)
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with an unfinished run")
    again.add_argument("--fresh", action="store_true", help="throw an unfinished or finished run away and begin again")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    add_trust(parser, OUTSIDE)


def run(arguments: Namespace) -> int:
    """Run, or say what would run."""
    from sere_core import run as engine

    if arguments.dry_run:
        resolved = read_config(arguments, arguments.quiet)
        check_factories(resolved)
        return int(engine.dry_run(resolved))
    resolved = read_to_start(arguments, arguments.quiet)
    try:
        engine.run(resolved, resume=arguments.resume, fresh=arguments.fresh, quiet=arguments.quiet)
    except KeyboardInterrupt:
        command = shlex.join([*run_command(arguments), "--resume"])
        print(f"\ninterrupted; to go on: {command}", file=sys.stderr)
        return 130
    return 0
