"""What `sere compare` and `sere sweep` have in common: how many runs are changed, where they run, and running them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sere_core.compare.estimate import Pace
    from sere_core.compare.executor import Executor
    from sere_core.compare.jobs import Outcome
    from sere_core.compare.plan import ComparePlan
    from sere_core.console import Speaker


def add_arguments(parser: Any) -> None:
    """What changes every run, who runs them, and what is said."""
    parser.add_argument(
        "--set", dest="sets", action="append", default=[], metavar="A.B=VALUE", help="change the config of every run; may be repeated"
    )
    parser.add_argument(
        "--unset", dest="unsets", action="append", default=[], metavar="A.B", help="put back to its default in every run; may be repeated"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="how many runs at a time; default: as many as there are cores")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="run on a Dask cluster, e.g. tcp://host:8786; see docs/cluster.md")
    parser.add_argument("--dry-run", action="store_true", help="check every config, say what would run, and stop")
    parser.add_argument("--quiet", action="store_true", help="print the table and errors only")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of errors too")


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
