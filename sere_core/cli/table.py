"""`sere table FOLDER`: a table of a comparison, from its records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_EXAMPLES = """\
shapes: main (UAR by pair, means, tests), ablation (rows named `ours -part`), encoders (rows named `one>other`), classes, gender, cost

examples:
  sere table runs/small
  sere table runs/small --shape classes --format markdown
  sere table runs/small -o table1.tex

exit codes: 0, 1 if no run is finished or the runs are not comparable, 2 usage"""


def add_parser(subparsers: Any) -> None:
    """Add the command to `sere`."""
    from argparse import RawDescriptionHelpFormatter

    parser = subparsers.add_parser(
        "table",
        help="print a table of a comparison",
        description="Print a table of a comparison, from its records; nothing is run.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="the comparison's folder, runs/NAME")
    parser.add_argument(
        "--shape",
        choices=["main", "ablation", "encoders", "classes", "gender", "cost"],
        default="main",
        help="what stands in it; default: %(default)s",
    )
    parser.add_argument(
        "--format", choices=["terminal", "markdown", "csv", "latex"], help="default: what FILE ends in (.md .csv .tex), else terminal"
    )
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write it to FILE")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of errors too")


def run(arguments: Any) -> int:
    """Print or write it; 1 if the comparison has no finished run yet.

    Raises:
        SereError: T505 if the folder holds no comparison, T506 and T508 if its rows do not share a table, X704 or X705 if FILE cannot
            be written.
    """
    import sys

    from rich.console import Console

    from sere_core.compare.reading import read_results
    from sere_core.compare.tables import build
    from sere_core.tables import FORMATS, print_tables, render
    from sere_registry.files import write_atomically

    results = read_results(arguments.folder)
    results.check()
    for line in results.failure_lines:
        print(line, file=sys.stderr)
    if not results.runs:
        print("no run of this comparison is finished", file=sys.stderr)
        return 1
    output: Path | None = arguments.output
    endings = {f".{ending}": format for format, (ending, _) in FORMATS.items()}
    format = arguments.format or endings.get(output.suffix if output else ".txt", "terminal")
    table = build(results, arguments.shape)
    if output is not None:
        write_atomically(output, render(table, format).encode())
    elif format == "terminal":
        print_tables(Console(), table)
    else:
        print(render(table, format), end="")
    return 0
