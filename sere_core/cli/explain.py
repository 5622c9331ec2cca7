"""`sere explain CODE`: what an error code means and what to do about it."""

from __future__ import annotations

import json
import sys
from typing import Any

_FAMILIES = {
    "P": "a plugin", "R": "a name in the registry", "C": "the config, or usage", "B": "building a component",
    "D": "the data: corpora and audio", "T": "the run itself", "X": "the environment",
}  # fmt: skip


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("explain", help="explain an error code", allow_abbrev=False)
    parser.add_argument("code", metavar="CODE", nargs="?", help="e.g. C302; without it, all codes are listed")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: Any) -> int:
    """Print what the code means, whose mistake it is, the exit code, and what to do."""
    from sere_core.cli.advice import ADVICE
    from sere_registry.errors import CODES, EXIT_CODES, suggest

    if arguments.code is None:
        if arguments.json:
            print(json.dumps(CODES, indent=2))
            return 0
        for code, meaning in CODES.items():
            print(f"{code}  {meaning}")
        return 0
    code = arguments.code.strip("[] ").upper()
    if code not in CODES:
        print(f"sere explain: there is no code '{arguments.code}'\n    {suggest(code, CODES, 'codes')}", file=sys.stderr)
        return 2
    if arguments.json:
        about = {"code": code, "meaning": CODES[code], "about": _FAMILIES[code[0]], "exit_code": EXIT_CODES[code[0]]}
        print(json.dumps({**about, "way_out": ADVICE.get(code, "")}, indent=2))
        return 0
    print(f"{code}: {CODES[code]}.\nIt is about {_FAMILIES[code[0]]}; the exit code is {EXIT_CODES[code[0]]}.")
    if code in ADVICE:
        import textwrap

        print("\n" + textwrap.fill(ADVICE[code], width=100))
    return 0
