"""`sere report FOLDER`: the report of a comparison, from its records."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the command to `sere`."""
    parser = subparsers.add_parser(
        "report",
        help="write the report of a comparison",
        description="Write report.html, figures/ and tables/ into a comparison's folder, from its records; nothing is run.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="the comparison's folder, runs/NAME")
    parser.add_argument(
        "--resonance",
        type=int,
        default=2,
        metavar="N",
        help="resonance maps of the reference row, for the first N pairs; they need the audio; default: %(default)s",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of errors too")


def run(arguments: Any) -> int:
    """Write it and say where it is.

    Raises:
        SereError: T505 if the folder holds no comparison; X704 or X705 if it cannot be written.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # the work is small: on a busy machine threads would wait for one another ten times as long
    from sere_core.compare.report import write_report
    from sere_core.compare.report.resonance import draw_resonance

    alive = sys.stderr.isatty() and not arguments.quiet

    def tell(line: str) -> None:
        if alive:
            print(f"\r\x1b[K{line[:100]}", end="", file=sys.stderr, flush=True)

    def say(line: str) -> None:
        if not arguments.quiet:
            print(line, file=sys.stderr)

    try:
        draw_resonance(arguments.folder, max(arguments.resonance, 0), say)
        path = write_report(arguments.folder, tell)
    finally:
        if alive:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if not arguments.quiet:
        print(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB); beside it: figures/, tables/")
    return 0
