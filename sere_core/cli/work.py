"""`sere work`: a worker that takes open jobs from a comparison's folder."""

from __future__ import annotations

import signal
from argparse import Namespace
from pathlib import Path

from sere_core.cli.arguments import Subparsers, add_command, add_trust
from sere_core.console import Speaker

_EXAMPLES = """\
examples:
  sere work runs/small                     # in as many terminals and on as many machines as there are
  sere work runs/small --features first --wait

`sere compare FILE --dry-run --write-jobs` leaves the jobs there, and `sere compare FILE --collect` prints the table of what is done.
Jobs are taken by lock: what a worker leaves behind that is killed, another one takes over.  docs/cluster.md is about clusters.
exit codes: 0 no job is open, 1 one that this worker ran failed, 2 usage, 4 this machine is not like the one that planned the jobs,
130 interrupted; of a job that failed no worker tries again before `sere compare` is called"""


def add_parser(subparsers: Subparsers) -> None:
    parser = add_command(subparsers, "work", run, _EXAMPLES)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="the comparison's folder, runs/NAME")
    help = "extract the features of all open jobs before the first one, sharing the work with other workers, or do no more than that; "
    parser.add_argument("--features", choices=["first", "only"], help=f"{help}else each job extracts what it needs")
    help = "how many workers in a row a job may cost before it fails (X706); default: %(default)s"
    parser.add_argument("--losses", type=int, default=10, metavar="N", help=help)
    help = "stay until the last job is done, to take over what other workers lose"
    parser.add_argument("--wait", action="store_true", help=help)
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    add_trust(parser, "the `file:` components that the jobs name")


def run(arguments: Namespace) -> int:
    """Run jobs until none is open; 1 if one of them failed."""
    from sere_core.compare.extraction import extract_features
    from sere_core.compare.jobs import outcome_of, read_job
    from sere_core.compare.work import pull, read_work

    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background processes lack
    signal.signal(signal.SIGTERM, _end)
    folder, speaker = arguments.folder.absolute(), Speaker(arguments.quiet)
    jobs = read_work(folder).jobs
    if arguments.features:
        missing = [read_job(folder, job, arguments.trust) for job in jobs if not outcome_of(folder, job)]
        extract_features(missing, speaker)
        if arguments.features == "only":
            return 0
    failed = 0
    for outcome in pull(folder, jobs, arguments.losses, arguments.wait, arguments.trust):
        speaker.say(f"{outcome.job} {f'FAILED: {outcome.line}' if outcome.code else 'done'}")
        failed += bool(outcome.code)
    return 1 if failed else 0


def _end(number: int, frame: object) -> None:
    """What a scheduler sends counts as Ctrl-C: the worker lets go of its job and ends."""
    signal.signal(number, signal.SIG_IGN)
    signal.raise_signal(signal.SIGINT)
