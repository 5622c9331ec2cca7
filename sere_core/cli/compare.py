"""`sere compare FILE`: rows x pairs x seeds of runs that differ in nothing but what is varied, and their table."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sere_core.compare.estimate import Pace
    from sere_core.compare.executor import Executor
    from sere_core.compare.jobs import Outcome
    from sere_core.compare.plan import ComparePlan
    from sere_core.console import Speaker

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
    parser.add_argument(
        "--set", dest="sets", action="append", default=[], metavar="A.B=VALUE", help="change the config of every run; may be repeated"
    )
    parser.add_argument(
        "--unset", dest="unsets", action="append", default=[], metavar="A.B", help="put back to its default in every run; may be repeated"
    )
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
    parser.add_argument("--jobs", type=int, metavar="N", help="how many runs at a time; default: as many as there are cores")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="run on a Dask cluster, e.g. tcp://host:8786; see docs/cluster.md")
    parser.add_argument("--dry-run", action="store_true", help="check every config, say what would run, and stop")
    parser.add_argument("--yes", action="store_true", help="do not ask before starting")
    parser.add_argument("--quiet", action="store_true", help="print the table and errors only")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of errors too")


def run(arguments: Any) -> int:
    """Plan, run what is missing, prove, print.

    Raises:
        SereError: what is wrong with the comparison, or why its runs do not share a table.
    """
    from sere_core.compare.asking import plan_of
    from sere_core.compare.grammar import Flags
    from sere_core.compare.running import missing_jobs
    from sere_core.console import Speaker

    check_executor(arguments)
    speaker = Speaker(arguments.quiet)
    flags = Flags(
        sets=tuple(arguments.sets),
        unsets=tuple(arguments.unsets),
        vary=tuple(arguments.vary),
        floor=tuple(arguments.floor),
        ceiling=tuple(arguments.ceiling),
        allow=tuple(arguments.allow),
        pairs=arguments.pairs,
        seeds=arguments.seeds,
        reference=arguments.reference,
        out=arguments.out,
    )
    plan, folder, warnings = plan_of(arguments.config, flags, dry=arguments.dry_run)
    missing = missing_jobs(plan, folder)
    failures: list[Outcome] = []
    if missing or arguments.dry_run:
        from sere_core.compare.estimate import Pace
        from sere_core.compare.showing import show_plan

        speaker.warn(warnings)
        executor = executor_of(arguments, folder)
        pace = Pace.of_records(plan, folder)
        workers = min(executor.workers, len(missing) or 1)
        show_plan(plan, folder, missing, pace.words(missing, workers) if missing else "nothing is missing", workers, speaker)
        if arguments.dry_run:
            return 0
        if speaker.interactive and sys.stdin.isatty() and not arguments.yes and not _agreed(len(missing)):
            return 0
        try:
            failures = run_missing(executor, plan, folder, missing, pace, speaker)
        except KeyboardInterrupt:
            print(f"\ninterrupted; what is done is kept; to go on: {_command(arguments)}", file=sys.stderr)
            return 130
    elif not arguments.quiet:
        speaker.say(f"all {len({job.job for job in plan.jobs})} runs were done before; records: {folder / 'records'}")
    from sere_core.compare.ending import finish

    return finish(plan, folder, failures, speaker.console)


def check_executor(arguments: Any) -> None:
    """Do --jobs and --scheduler say who runs the jobs?

    Raises:
        SereError: C305.
    """
    from sere_registry.errors import Place, error

    if arguments.jobs is not None and arguments.scheduler is not None:
        hint = "the workers' slots say how many run at a time"
        raise error("C305", "--jobs is of this machine, --scheduler of others", hint, Place("--jobs"))
    if arguments.jobs is not None and arguments.jobs < 1:
        raise error("C305", f"--jobs {arguments.jobs} would run nothing", "give a number of at least 1", Place("--jobs"))


def executor_of(arguments: Any, folder: Path) -> Executor:
    """Who runs the jobs of the comparison in this folder.

    Raises:
        SereError: why a cluster cannot.
    """
    if arguments.scheduler is not None:
        from sere_core.compare.cluster import DaskCluster

        return DaskCluster(arguments.scheduler, folder)
    from sere_core.compare.local import LocalProcesses

    return LocalProcesses(arguments.jobs)


def run_missing(executor: Executor, plan: ComparePlan, folder: Path, missing: list[str], pace: Pace, speaker: Speaker) -> list[Outcome]:
    """Extract the features of all missing jobs, then run these; the outcomes of those that failed.

    Raises:
        SereError: the problems of all audio files, or of a cache that cannot be written.
    """
    from sere_core.compare.material import extract_features
    from sere_core.compare.progress import Reporter
    from sere_core.compare.running import run_all

    extract_features(folder, missing, speaker)
    reporter = Reporter(plan, folder, missing, pace, executor.workers, speaker)
    failures = []
    with reporter.showing():
        for outcome in run_all(executor, folder, missing, speaker.say):
            reporter.ended(outcome)
            if outcome.state == "failed":
                failures.append(outcome)
    return failures


def _agreed(count: int) -> bool:
    answer = input(f"start {count} runs? [Y/n] ").strip().lower()
    return answer in ("", "y", "yes")


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
