"""What commands have in common: their parsers, the arguments that name a config, and JSON on the terminal."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter, _SubParsersAction
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from sere_core.cli import COMMANDS
from sere_core.config import Resolved, load
from sere_core.config.nodes import Data
from sere_core.config.yaml_text import read
from sere_registry.catalog import Catalog
from sere_registry.errors import Place, Problem, SereError

Subparsers: TypeAlias = "_SubParsersAction[ArgumentParser]"
#: what a command does; returns its exit code, or raises the SereError that `main` prints
Run = Callable[[Namespace], int]


def add_command(
    subparsers: Subparsers, name: str, run: Run, examples: str, *, verb: str = "", json: bool = False, absent: object = False
) -> ArgumentParser:
    """Add a command, with --traceback.

    Args:
        subparsers: of `sere`, or of a group of commands.
        name: what is called.
        run: what it does.
        examples: what stands below its help.
        verb: of a command of a group, what help says of it; of the others that stands in `COMMANDS`.
        json: has it a flag --json?
        absent: the value of these flags where they are not given.
    """
    summary = verb or COMMANDS[name][1]
    parser = subparsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=examples,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if json:
        parser.add_argument("--json", action="store_true", default=absent, help="as JSON")
    parser.add_argument("--traceback", action="store_true", default=absent, help="show the traceback of errors too")
    parser.set_defaults(run=run)
    return parser


def add_repeated(parser: ArgumentParser, flag: str, metavar: str, text: str, dest: str | None = None) -> None:
    dest = dest or flag.removeprefix("--")
    parser.add_argument(flag, dest=dest, action="append", default=[], metavar=metavar, help=f"{text}; may be repeated")


def add_config_arguments(parser: ArgumentParser) -> None:
    """The arguments of every command that reads a config."""
    parser.add_argument("config", metavar="CONFIG", help="a YAML file, or the name of a config that comes with sere")
    add_repeated(parser, "--set", "A.B=VALUE", "change a value; VALUE is YAML", "sets")
    add_repeated(parser, "--unset", "A.B", "remove a value", "unsets")
    parser.add_argument("--seed", type=int, default=None, help="replace the seed of the config")
    add_repeated(parser, "--disable", "DIST", "a distribution whose plugins must not be used")


def add_trust(parser: ArgumentParser, of: str) -> None:
    """--trust, of every command that may import what a config or a record names."""
    parser.add_argument("--trust", action="store_true", help=f"import {of}")


def read_to_start(arguments: Namespace, quiet: bool = False) -> Resolved:
    """As `read_config`, for a run that starts now: `file:` components are imported, after everything else was found right.

    Raises:
        SereError: as `sere_core.plan.to_start`.
    """
    from sere_core.plan import to_start

    resolved = read_config(arguments, quiet)
    flags = {"sets": arguments.sets, "unsets": arguments.unsets, "seed": arguments.seed}
    return to_start(resolved, arguments.trust, lambda catalog: load(arguments.config, **flags, catalog=catalog))


def add_speakers(parser: ArgumentParser) -> None:
    """--speakers, of commands that apply a model to recordings."""
    help = (
        "whose statistics standardise: auto (a column `speaker`, where there is one), group (by sound), none (the target corpus's), or "
        "where a path tells the speaker: parent (the name of the file's folder), or a regular expression with a group `speaker`, "
        "searched below an INPUT that is a folder"
    )
    parser.add_argument("--speakers", default="auto", metavar="{auto,column,group,none,parent,REGEX}", help=help)


NAMED = "what the record names: installed packages and `file:` components; by itself only what comes with sere is imported"
OUTSIDE = "`file:` components of outside the config's folder, too"


def add_fold(parser: ArgumentParser, text: str, default: int | None = None) -> None:
    """`--fold K`, which counts from 1 as runs do when they say how far they are; its value is the index, from 0."""
    parser.add_argument("--fold", type=_fold, default=default, metavar="K", help=f"{text}; folds count from 1")


def _fold(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"folds count from 1, and '{text}' is none")
    return int(text) - 1


def read_config(arguments: Namespace, quiet: bool = False, catalog: Catalog | None = None) -> Resolved:
    """The resolved config of these arguments; its warnings, and those about what is left out in vain, go to stderr.

    Raises:
        SereError: every mistake in the config.
    """
    catalog = catalog or Catalog(disable=arguments.disable)
    _warn(() if quiet else catalog.left_out_in_vain())  # now: the config may go wrong because of it
    resolved = load(arguments.config, sets=arguments.sets, unsets=arguments.unsets, seed=arguments.seed, catalog=catalog)
    _warn(() if quiet else (*resolved.warnings, *catalog.left_out_in_vain(resolved.disabled)))
    return resolved


def _warn(warnings: Iterable[object]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def run_command(arguments: Namespace) -> list[str]:
    """The words of the command that runs this config."""
    words = ["sere-run", arguments.config]
    for flag, values in (("--set", arguments.sets), ("--unset", arguments.unsets), ("--disable", arguments.disable)):
        words += [word for value in values for word in (flag, value)]
    return words if arguments.seed is None else [*words, "--seed", str(arguments.seed)]


def print_json(data: object) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False))


def read_values(sets: Sequence[str]) -> dict[str, Data]:
    """Name -> value of each `--set NAME=VALUE`; VALUE is YAML.

    Raises:
        SereError: C305, or what is wrong with the YAML.
    """
    problems: list[Problem] = []
    values: dict[str, Data] = {}
    for text in sets:
        name, equals, value = text.partition("=")
        place = Place(path=f"--set {text}")
        if not equals or not name.strip():
            problems.append(Problem("C305", "--set needs a name and a value", "such as --set language=pl", place))
            continue
        node = read(value, place, problems, lines=False)
        values[name.strip()] = None if node is None else node.data()
    if problems:
        raise SereError(*problems)
    return values
