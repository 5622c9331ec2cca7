"""`sere sweep FILE`: a random search for every row of a comparison, the same number of trials each, chosen without target labels."""

from __future__ import annotations

import sys
from typing import Any

from sere_core.cli.many_runs import add_arguments, check_executor, run_missing

_EXAMPLES = """\
examples:
  sere sweep comparison.yaml --select information_max --dry-run
  sere sweep comparison.yaml --select information_max --trials 20 --repeats 3
  sere sweep compare/small --select snd --trials 5 --repeats 2 --params losses.adapt

The same command goes on after an interruption, and runs only what is missing.  `sere table` and `sere report` read its folder.
exit codes: 0 all settings are chosen, 1 some trials failed, 2 config or usage, 3 a plugin, 4 the environment, 130 interrupted"""


def add_parser(subparsers: Any) -> None:
    """Add the command to `sere`."""
    from argparse import RawDescriptionHelpFormatter

    parser = subparsers.add_parser(
        "sweep",
        help="search settings for all rows of a comparison, without target labels",
        description="Draw settings from the ranges that parameters declare, run them, choose by a selector on T_u, and print the table.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("config", metavar="FILE", help="a comparison, with or without a `tune` section, or a config")
    parser.add_argument("--trials", type=int, metavar="N", help="settings for each row, pair and repeat; default: 20")
    parser.add_argument("--repeats", type=int, metavar="N", help="how often the whole search is done, with a seed each; default: 3")
    parser.add_argument("--select", metavar="SELECTOR", help="chooses a setting by the posteriors of T_u; see `sere plugins`")
    parser.add_argument(
        "--params", action="append", default=[], metavar="A.B", help="what is searched; default: losses and method; may be repeated"
    )
    parser.add_argument("--pairs", metavar="S>T,S>T", help="pairs of corpora, or `all`")
    parser.add_argument("--out", metavar="DIR", help="the sweep's folder; default: runs/NAME-tuned")
    add_arguments(parser)


def run(arguments: Any) -> int:
    """Plan, run what is missing, choose, prove, print.

    Raises:
        SereError: what is wrong with the sweep, or why its chosen runs do not share a table.
    """
    from sere_core.compare.grammar import Flags
    from sere_core.compare.progress import finish
    from sere_core.compare.reading import read_results
    from sere_core.compare.sweep import choose, plan_of_choices, plan_sweep, show_choices, write_choices
    from sere_core.console import Speaker

    check_executor(arguments)
    speaker = Speaker(arguments.quiet)
    sweep = plan_sweep(arguments.config, Flags.of(arguments))
    if not arguments.dry_run:
        sweep.write()
    try:
        if not run_missing(arguments, sweep.planned, speaker, sweep.tune.trials):
            return 0
    except KeyboardInterrupt:
        print("\ninterrupted; what is done is kept; the same command goes on", file=sys.stderr)
        return 130
    choices, without = choose(sweep)
    write_choices(sweep, choices)
    plan_of_choices(sweep, choices).write(sweep.folder)
    code = finish(sweep.folder, speaker.console)
    show_choices(sweep, choices, read_results(sweep.folder), speaker)
    for place, why in without:
        print(f"nothing chosen for {place.row} {place.pair} seed {place.seed}: {why}", file=sys.stderr)
    return 1 if without else code
