"""`sere-run CONFIG`, which `sere run CONFIG` is too."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from typing import Any

_EXAMPLES = """\
examples:
  sere-run sere_default
  sere-run configs/sere_default.yaml --set train.epochs=5 --set losses.adapt.use=coral
  sere-run my.yaml --seed 3 --dry-run

exit codes: 0 done, 1 the run failed, 2 config or usage, 3 a plugin, 4 the environment, 130 interrupted"""


def add_parser(subparsers: Any) -> None:
    add_arguments(subparsers.add_parser("run", help="run a config (the same as sere-run)", allow_abbrev=False))


def add_arguments(parser: Any) -> None:
    """The arguments of a run."""
    from argparse import RawDescriptionHelpFormatter

    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    add_config_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="check the config and the data, and say what the run would do")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with an unfinished run")
    again.add_argument("--fresh", action="store_true", help="throw an unfinished or finished run away and begin again")
    parser.add_argument("--quiet", action="store_true", help="print errors only")


def add_config_arguments(parser: Any) -> None:
    """The arguments of every command that reads a config."""
    parser.add_argument("config", metavar="CONFIG", help="a YAML file, or the name of a config that comes with sere")
    parser.add_argument(
        "--set", dest="sets", action="append", default=[], metavar="A.B=VALUE", help="change a value; VALUE is YAML; may be repeated"
    )
    parser.add_argument("--unset", dest="unsets", action="append", default=[], metavar="A.B", help="remove a value; may be repeated")
    parser.add_argument("--seed", type=int, default=None, help="replace the seed of the config")
    parser.add_argument("--disable", action="append", default=[], metavar="DIST", help="a distribution whose plugins must not be used")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of errors too")


def read_config(arguments: Any, quiet: bool = False, catalog: Any = None) -> Any:
    """The resolved config of these arguments; its warnings, and those about what is left out in vain, go to stderr."""
    from sere_core.config import load
    from sere_registry.catalog import Catalog

    catalog = Catalog(disable=arguments.disable) if catalog is None else catalog
    _warn(() if quiet else catalog.left_out_in_vain())  # now: the config may go wrong because of it
    resolved = load(arguments.config, sets=arguments.sets, unsets=arguments.unsets, seed=arguments.seed, catalog=catalog)
    _warn(() if quiet else (*resolved.warnings, *catalog.left_out_in_vain(resolved.disabled)))
    return resolved


def _warn(warnings: Iterable[object]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def run(arguments: Any) -> int:
    """Run, or say what would run."""
    resolved = read_config(arguments, arguments.quiet)
    from sere_core import run as engine
    from sere_core.config.source_code import check_factories

    check_factories(resolved)  # now, not after hours of extraction
    if arguments.dry_run:
        return int(engine.dry_run(resolved))
    try:
        return int(engine.run(resolved, resume=arguments.resume, fresh=arguments.fresh, quiet=arguments.quiet))
    except KeyboardInterrupt:
        print(f"\ninterrupted; to go on: {resume_command(arguments)}", file=sys.stderr)
        return 130


def resume_command(arguments: Any) -> str:
    """The command line that continues this run."""
    return shlex.join([*run_command(arguments), "--resume"])


def run_command(arguments: Any) -> list[str]:
    """The words of the command that runs this config."""
    words = ["sere-run", arguments.config]
    for text in arguments.sets:
        words += ["--set", text]
    for text in arguments.unsets:
        words += ["--unset", text]
    for name in arguments.disable:
        words += ["--disable", name]
    if arguments.seed is not None:
        words += ["--seed", str(arguments.seed)]
    return words
