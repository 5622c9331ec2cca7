"""What `sere compare` and `sere sweep` have in common: how many runs are changed, where they run, and running them."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sere_core.compare.executors import Executor
    from sere_core.compare.planning import Planned
    from sere_core.console import Speaker


def add_arguments(parser: ArgumentParser) -> None:
    """What changes every run, who runs them, and what is said."""
    parser.add_argument(
        "--set", dest="sets", action="append", default=[], metavar="A.B=VALUE", help="change the config of every run; may be repeated"
    )
    parser.add_argument(
        "--unset", dest="unsets", action="append", default=[], metavar="A.B", help="put back to its default in every run; may be repeated"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="how many runs at a time; default: as many as there are cores")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="run on a Dask cluster, e.g. tcp://host:8786; see docs/cluster.md")
    parser.add_argument("--yes", action="store_true", help="do not ask before starting")
    parser.add_argument("--dry-run", action="store_true", help="check every config, say what would run, and stop")
    parser.add_argument("--quiet", action="store_true", help="print the table and errors only")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of errors too")


def check_executor(arguments: Namespace) -> None:
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


def executor_of(arguments: Namespace, planned: Planned) -> Executor:
    """Who runs the jobs of a comparison.

    Raises:
        SereError: why a cluster cannot.
    """
    if arguments.scheduler is not None:
        from sere_core.compare.dask_cluster import DaskCluster

        return DaskCluster(arguments.scheduler, planned.folder, planned.needs)
    from sere_core.compare.executors import LocalProcesses

    return LocalProcesses(arguments.jobs)


def run_missing(arguments: Namespace, planned: Planned, speaker: Speaker, trials: int | None = None) -> bool:
    """Show the plan; then, unless it is a dry run, extract the features of all missing jobs and run these.

    Args:
        arguments: of the command line.
        planned: what is to be run; its configs are written.
        speaker: the terminal.
        trials: of a sweep, for each row, pair and seed.

    Returns:
        Whether the jobs have been run, or were done before.

    Raises:
        SereError: the problems of all audio files, or of a cache that cannot be written.
    """
    from sere_core.compare.executors import run_all
    from sere_core.compare.extraction import extract_features
    from sere_core.compare.progress import JobProgress

    plan, folder = planned.plan, planned.folder
    missing = plan.missing_jobs(folder)
    if not missing and not arguments.dry_run:
        speaker.say(f"all {len({job.job for job in plan.jobs})} runs were done before; records: {folder / 'records'}")
        return True
    speaker.warn(planned.warnings)
    executor = executor_of(arguments, planned)
    progress = JobProgress(plan, folder, missing, executor.workers, speaker)
    progress.show(trials)
    if arguments.dry_run or not _agreed(arguments, len(missing), speaker):
        return False
    extract_features((planned.resolved[job] for job in missing), speaker)
    with progress.bar():
        for outcome in run_all(executor, folder, missing, speaker.say):
            progress.ended(outcome)
    return True


def _agreed(arguments: Namespace, count: int, speaker: Speaker) -> bool:
    """On a terminal it is asked whether to start, unless --yes was given."""
    if arguments.yes or not speaker.interactive or not sys.stdin.isatty():
        return True
    return input(f"start {count} runs? [Y/n] ").strip().lower() in ("", "y", "yes")
