"""`sere compare`, `sweep`, `table` and `report`: many runs under one harness, and what is made of their records."""

from __future__ import annotations

import os
import shlex
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from sere_core.cli.arguments import NAMED, OUTSIDE, Subparsers, add_command, add_repeated, add_trust
from sere_core.console import Speaker
from sere_registry import BuildContext
from sere_registry.errors import Place, error
from sere_registry.files import write_atomically

if TYPE_CHECKING:
    from sere_core.compare.planning import Planned
    from sere_registry import Executor

_CODES = """\
exit codes: 0 done, 1 some runs failed or they are not comparable, 2 config or usage, 3 a plugin, 4 the environment,
130 interrupted"""
_COMPARE = f"""\
examples:
  sere compare compare/small
  sere compare comparison.yaml --dry-run
  sere compare sere_default --vary losses.adapt.use=tric,coral --pairs 'xa>xb,xb>xa' --seeds 5 --out runs/two

The same command goes on after an interruption, and runs only what is missing.
{_CODES}"""
_SWEEP = f"""\
examples:
  sere sweep comparison.yaml --select information_max --dry-run
  sere sweep comparison.yaml --select information_max --trials 20 --repeats 3
  sere sweep compare/small --select snd --trials 5 --repeats 2 --params losses.adapt

The same command goes on after an interruption, and runs only what is missing.  `sere table` and `sere report` read its folder.
{_CODES}"""
_TABLE = """\
shapes: main (UAR by pair, means, tests), ablation (rows named `ours -part`), encoders (rows named `one>other`),
classes, measures (WAR, macro F1, confidence, the config's metrics), gender, cost, space (of a sweep: what each row searched)

examples:
  sere table runs/small
  sere table runs/small --shape classes --format markdown
  sere table runs/small -o table1.tex

exit codes: 0, 1 if no run is finished or the runs are not comparable, 2 usage"""
_REPORT = """\
examples:
  sere report runs/sere-default/3f0a
  sere report runs/sere-default -o page.html --no-audio
  sere report runs/small

The page is one file with all that it shows in it.  Of a comparison, figures/ and tables/ are written beside it."""


def add_parser(subparsers: Subparsers) -> None:
    parser = add_command(subparsers, "compare", run_compare, _COMPARE)
    help = "a comparison (YAML with `compare: NAME`), or a config to vary; or the name of one that comes with sere"
    parser.add_argument("config", metavar="FILE", help=help)
    add_repeated(parser, "--vary", "A.B=V,V", "rows: a path and its values; several axes are crossed")
    parser.add_argument("--seeds", metavar="N", help="how many, from 0, or a list with commas; default: 1")
    add_repeated(parser, "--floor", "ROW", "a row that adapts to nothing")
    add_repeated(parser, "--ceiling", "ROW", "a row that learns from the target's own labels")
    help = "the row that all others are tested against; default: the first method"
    parser.add_argument("--reference", metavar="ROW", help=help)
    add_repeated(parser, "--allow", "NAME", "a difference between runs that the table may have, e.g. versions.torch")
    _add_arguments(parser, "the comparison's folder; default: runs/NAME")

    parser = add_command(subparsers, "sweep", run_sweep, _SWEEP)
    parser.add_argument("config", metavar="FILE", help="a comparison, with or without a `tune` section, or a config")
    parser.add_argument(
        "--trials", type=int, metavar="N", help="settings tried in each row, pair and repeat: its own, then drawn ones; default: 20"
    )
    help = "how often the whole search is done, with a seed each; default: 3"
    parser.add_argument("--repeats", type=int, metavar="N", help=help)
    help = "chooses a setting by the posteriors of T_u; see `sere plugins`"
    parser.add_argument("--select", metavar="SELECTOR", help=help)
    add_repeated(parser, "--params", "A.B", "what is searched; default: losses, method and train.optimizer")
    _add_arguments(parser, "the sweep's folder; default: runs/NAME-tuned")

    parser = add_command(subparsers, "table", run_table, _TABLE)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="the comparison's folder, runs/NAME")
    shapes = ["main", "ablation", "encoders", "classes", "measures", "gender", "cost", "space"]
    parser.add_argument("--shape", choices=shapes, default="main", help="what stands in it; default: %(default)s")
    help = "default: what FILE ends in (.md .csv .tex), else terminal"
    parser.add_argument("--format", choices=["terminal", "markdown", "csv", "latex"], help=help)
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write it to FILE")

    parser = add_command(subparsers, "report", run_report, _REPORT)
    help = "the folder of a finished run (runs/NAME/JOB, or runs/NAME with one run in it), of a comparison or of a sweep"
    parser.add_argument("folder", metavar="FOLDER", type=Path, help=help)
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="of a run: write the page there")
    help = "resonance maps, of the reference row for the first N pairs, or of N pairs of utterances of a run; they need the audio; "
    parser.add_argument("--resonance", type=int, default=2, metavar="N", help=f"{help}default: %(default)s")
    help = "of a run: no voices on the page; otherwise it holds clips of some utterances where their audio is there"
    parser.add_argument("--no-audio", dest="audio", action="store_false", help=help)
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    add_trust(parser, NAMED)


def _add_arguments(parser: ArgumentParser, out: str) -> None:
    """Which pairs, what changes every run, who runs them, and what is said."""
    help = "run these rows only: a row's name, or a value of an axis; all others are left out"
    add_repeated(parser, "--row", "ROW", help, "rows")
    help = "pairs of corpora, source first, or `all`; default: the config's own"
    parser.add_argument("--pairs", metavar="S>T,S>T", help=help)
    add_repeated(parser, "--set", "A.B=VALUE", "change the config of every run", "sets")
    add_repeated(parser, "--unset", "A.B", "put back to its default in every run", "unsets")
    parser.add_argument("-o", "--out", metavar="DIR", help=out)
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="how many runs at a time on this machine; default: as many as there are cores"
    )
    help = "who runs them: local, dask, submitit, or {use: NAME, params: {...}}; see docs/cluster.md"
    parser.add_argument("--executor", metavar="NAME", help=help)
    parser.add_argument("--dry-run", action="store_true", help="check every config, say what would run, and stop")
    help = "with --dry-run: leave the jobs in the folder, for `sere work`"
    parser.add_argument("--write-jobs", action="store_true", help=help)
    parser.add_argument("--collect", action="store_true", help="run nothing: read what workers have done, and print the table")
    parser.add_argument("--yes", action="store_true", help="do not ask before starting")
    add_trust(parser, OUTSIDE)
    parser.add_argument("--quiet", action="store_true", help="print the table and errors only")


def run_compare(arguments: Namespace) -> int:
    """Plan, run what is missing, prove, print."""
    from sere_core.compare.grammar import Flags
    from sere_core.compare.planning import plan_comparison
    from sere_core.compare.progress import finish

    start = _starts(arguments)
    speaker = Speaker(arguments.quiet)
    planned = plan_comparison(arguments.config, Flags.of(arguments), start=start, trust=arguments.trust)
    if start:
        planned.write()
    elif arguments.collect:
        planned.write_over()
    code = _run_missing(arguments, planned, speaker)
    return finish(planned.folder, speaker.console) if code is None else code


def run_sweep(arguments: Namespace) -> int:
    """Plan, run what is missing, choose, prove, print."""
    from sere_core.compare.grammar import Flags
    from sere_core.compare.progress import finish
    from sere_core.compare.reading import read_results
    from sere_core.compare.sweep import choose, plan_of_choices, plan_sweep, show_choices, write_choices

    start = _starts(arguments)
    speaker = Speaker(arguments.quiet)
    sweep = plan_sweep(arguments.config, Flags.of(arguments), start=start, trust=arguments.trust)
    if start:
        sweep.write()
    code = _run_missing(arguments, sweep.planned, speaker, sweep.tune.trials)
    if code is not None:
        return code
    choices, without = choose(sweep)
    write_choices(sweep, choices)
    plan_of_choices(sweep, choices).write(sweep.folder)
    code = finish(sweep.folder, speaker.console)
    show_choices(sweep, choices, read_results(sweep.folder), speaker)
    for place, why in without:
        print(f"nothing chosen for {place.row} {place.pair} seed {place.seed}: {why}", file=sys.stderr)
    return 1 if without else code


def run_table(arguments: Namespace) -> int:
    """Print or write it; 1 if the comparison has no finished run yet."""
    from sere_core.compare.label_free import tables
    from sere_core.compare.reading import read_results
    from sere_core.tables import FORMATS, print_tables, render

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
    found = [table for table in tables(results, arguments.shape) if format != "csv" or table.name in (arguments.shape, "label-free")]
    if output is None and format == "terminal":
        print_tables(Console(), *found)
        return 0
    text = "\n".join(render(table, format) for table in found)
    if output is not None:
        write_atomically(output, text.encode())
    else:
        print(text, end="")
    return 0


def run_report(arguments: Namespace) -> int:
    """Write it and say where it is."""
    single = not (arguments.folder / "plan.json").exists()
    if arguments.output is not None and not single:
        hint = "its page has figures/ and tables/ beside it and stays in its folder"
        raise error("C305", f"{arguments.folder} is a comparison: -o is for the report of a run", hint, Place("-o"))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # the work is small: on a busy machine threads would wait ten times as long
    from sere_core.compare.plan import ComparePlan
    from sere_core.compare.report import write_report
    from sere_core.compare.report.resonance import draw_resonance

    speaker = Speaker(arguments.quiet, stderr=True)
    if single:
        from sere_core.compare.report.run_page import write_run_report
        from sere_core.score.records import find_record

        folder = find_record(arguments.folder)
        with speaker.status() as tell:
            maps = max(arguments.resonance, 0)
            options = {"clips": arguments.audio, "resonance": maps, "trust": arguments.trust}
            path, missing = write_run_report(folder, arguments.output, **options, tell=tell)
        speaker.warn(tuple(missing))
        if not arguments.quiet:
            print(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)")
        return 0
    with speaker.status() as tell:
        draw_resonance(arguments.folder, max(arguments.resonance, 0), speaker.say, arguments.trust)
        path = write_report(arguments.folder, tell)
    if not arguments.quiet:
        print(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB); beside it: figures/, tables/")
    plan = ComparePlan.read(arguments.folder)
    if len(plan.missing_jobs(arguments.folder)) == len(plan.in_order()):
        raise error("T505", f"no run of {arguments.folder} is finished; its report says what is missing", "`sere compare` makes them")
    return 0


def _starts(arguments: Namespace) -> bool:
    """Will this call run jobs, or leave them for `sere work`?"""
    if arguments.write_jobs and not arguments.dry_run:
        raise error("C305", "--write-jobs runs nothing", "say --dry-run --write-jobs", Place("--write-jobs"))
    if arguments.collect and arguments.dry_run:
        raise error("C305", "--collect reads what was run, --dry-run what would be", "leave one out", Place("--collect"))
    return bool(arguments.write_jobs or not (arguments.dry_run or arguments.collect))


def executor_of(planned: Planned) -> Executor:
    """Who runs the jobs of a comparison."""
    from sere_registry.protocols import Executor, completed

    made: Executor = completed(planned.executor.build(BuildContext("executor")), Executor)
    return made


def _run_missing(arguments: Namespace, planned: Planned, speaker: Speaker, trials: int | None = None) -> int | None:
    """Show the plan; then, unless it is a dry run, run all missing jobs.

    Args:
        arguments: of the command line.
        planned: what is to be run; its configs are written.
        speaker: the terminal.
        trials: of a sweep, for each row, pair and seed.

    Returns:
        None where the jobs have been run, or were done before; else the exit code."""
    from sere_core.compare.progress import JobProgress, run_missing

    plan, folder = planned.plan, planned.folder
    missing = plan.missing_jobs(folder)
    if not missing and not arguments.dry_run:
        speaker.say(f"all {len({job.job for job in plan.jobs})} runs were done before; records: {folder / 'records'}")
        return None
    if arguments.collect:
        print(f"{len(missing)} of {len({job.job for job in plan.jobs})} runs are not done", file=sys.stderr)
        return None if trials is None else 1  # of a search only all trials tell which is best
    speaker.warn(planned.warnings)
    executor = executor_of(planned)
    progress = JobProgress(plan, folder, missing, executor.workers, speaker)
    progress.show(trials)
    if arguments.write_jobs:
        speaker.say(f"to run them, here and on other machines: sere work {shlex.quote(str(folder))}")
    ask = not arguments.yes and speaker.interactive and sys.stdin.isatty()
    if arguments.dry_run or (ask and input(f"start {len(missing)} runs? [Y/n] ").strip().lower() not in ("", "y", "yes")):
        return 0
    try:
        if run_missing(planned, executor, progress, missing, speaker):
            return None
        speaker.say(f"when they are done: {shlex.join([*arguments.words, '--collect'])}")
        return 0
    except KeyboardInterrupt:
        print(f"\ninterrupted; what is done is kept; to go on: {shlex.join(arguments.words)}", file=sys.stderr)
        return 130
