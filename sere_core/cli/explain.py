"""`sere explain CODE`: what an error code means and what to do about it."""

from __future__ import annotations

import sys
import textwrap
from argparse import Namespace
from pathlib import Path

import yaml

from sere_core.cli.arguments import Subparsers, add_command, print_json
from sere_core.config.yaml_text import Loader
from sere_registry.errors import CODES, EXIT_CODES, suggest

#: first letter of a code -> what it is about
FAMILIES = {
    "P": "plugins",
    "R": "names in the registry",
    "C": "the config, and usage",
    "B": "building components",
    "D": "corpora and audio",
    "T": "the run",
    "X": "the environment",
}


def advice() -> dict[str, dict[str, str]]:
    """Code -> its typical `cause`, and a `hint`: what to do about it."""
    made: dict[str, dict[str, str]] = yaml.load(Path(__file__).with_name("error_codes.yaml").read_bytes(), Loader)
    return made


_EXAMPLES = """\
examples:
  sere explain C302
  sere explain                                  # all codes"""


def add_parser(subparsers: Subparsers) -> None:
    parser = add_command(subparsers, "explain", run, _EXAMPLES, json=True)
    parser.add_argument("code", metavar="CODE", nargs="?", help="e.g. C302; without it, all codes are listed")


def run(arguments: Namespace) -> int:
    """Print what the code means, whose mistake it is, the exit code, and what to do."""
    if arguments.code is None:
        if arguments.json:
            print_json(CODES)
        else:
            print("\n".join(f"{code}  {meaning}" for code, meaning in CODES.items()))
        return 0
    code = arguments.code.strip("[] ").upper()
    if code not in CODES:
        hint = suggest(code, CODES, "codes")
        print(f"sere explain: there is no code '{arguments.code}'\n    {hint}", file=sys.stderr)
        return 2
    family, exit_code, more = FAMILIES[code[0]], EXIT_CODES[code[0]], advice()[code]
    if arguments.json:
        print_json({"code": code, "meaning": CODES[code], "about": family, "exit_code": exit_code, **more})
        return 0
    print(f"{code}: {CODES[code]}.\nIt is about {family}; the exit code is {exit_code}.\n")
    print(textwrap.fill(f"Typical cause: {more['cause']}.", width=100))
    print(textwrap.fill(more["hint"], width=100))
    return 0
