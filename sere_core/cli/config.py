"""`sere config VERB`: what a config says, what it means, and where it says so."""

from __future__ import annotations

import importlib
from typing import Any

#: verb -> its module (with `add_arguments(parser)` and `run(arguments)`), and what `--help` says of it
VERBS: dict[str, tuple[str, str]] = {
    "show": ("sere_core.cli.config_show", "print the resolved config as YAML"),
    "fill": ("sere_core.cli.config_fill", "write a complete config from a partial one"),
    "explain": ("sere_core.cli.config_explain", "what each key means, its value, and who set it"),
    "diff": ("sere_core.cli.config_diff", "the resolved values in which two configs differ"),
    "check": ("sere_core.cli.config_check", "report every mistake, and run nothing"),
    "schema": ("sere_core.cli.config_schema", "print the JSON Schema of configs, for editors"),
}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("config", help="show, check, explain and compare configs", allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, (module, line) in VERBS.items():
        child = verbs.add_parser(verb, help=line, description=f"{line[0].upper()}{line[1:]}.", allow_abbrev=False)
        importlib.import_module(module).add_arguments(child)


def run(arguments: Any) -> int:
    """What the verb says.

    Raises:
        SereError: with every mistake in the config.
    """
    return int(importlib.import_module(VERBS[arguments.verb][0]).run(arguments))
