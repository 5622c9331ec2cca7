"""`sere corpora check NAME ROOT`: is this folder the corpus it should be, and can every file be used?"""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from rich.table import Table

from sere_core.cli import COMMANDS
from sere_core.cli.arguments import Subparsers, add_command, add_repeated, print_json, read_values
from sere_core.console import Speaker
from sere_core.plan import open_corpus
from sere_registry.catalog import Catalog
from sere_registry.errors import counted

if TYPE_CHECKING:
    from sere_core.data.check import Report

_EXAMPLES = """\
examples:
  sere corpora check emodb ~/data/emodb
  sere corpora check ravdess ~/data/ravdess --set intensity=normal --json
  sere corpora check manifest mine.csv --set language=pl
  sere corpora check synthetic --set language=xb

exit codes: 0 every file can be used, 2 the layout is wrong or files cannot be used"""

#: lines of a list that are shown; --json has them all
SHOWN = 20


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("corpora", help=COMMANDS["corpora"][1], allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = add_command(actions, "check", run, _EXAMPLES, json=True, verb="count what is there, and read every file")
    help = "the corpus, as a config names it: emodb, ravdess, manifest, ..."
    check.add_argument("name", metavar="NAME", help=help)
    help = "its folder; for a manifest its file; for synthetic nothing"
    check.add_argument("root", metavar="ROOT", nargs="?", help=help)
    add_repeated(check, "--set", "KEY=VALUE", "another parameter of the corpus", "sets")


def run(arguments: Namespace, catalog: Catalog | None = None) -> int:
    """Check a corpus."""
    from sere_core.data.check import check

    corpus = open_corpus(catalog or Catalog(), arguments.name, arguments.root, read_values(arguments.sets))
    speaker = Speaker(quiet=arguments.json)
    with speaker.bar("checking") as tell:  # making, where the corpus is made, and then reading
        report = check(corpus, tell)
    if arguments.json:
        print_json({"corpus": arguments.name, **report.data()})
    else:
        _show(speaker, arguments.name, report)
    return 2 if report.unusable else 0


def _show(speaker: Speaker, name: str, report: Report) -> None:
    seconds = report.seconds
    if not speaker.console.is_terminal:  # in a file or a pipe, nothing is cut off
        speaker.console.width = 160
    speaker.console.print(_table(report))
    genders = [gender or "of unknown gender" for name, gender in report.genders.items() if name]
    each = ", ".join(f"{genders.count(gender)} {gender}" for gender in sorted(set(genders)))
    counts = f"{counted(report.utterances, 'utterance')}, {counted(report.files, 'file')}, "
    counts += f"{counted(len(genders), 'speaker')}{each and f' ({each})'}, {counted(report.texts, 'text')}"
    speaker.say(f"{name}: {counts}, languages: {', '.join(report.languages)}")
    if seconds:
        quantiles = ", ".join(f"{key} {value:.2f} s" for key, value in seconds.items() if key != "total")
        speaker.say(f"durations: {quantiles}; in all {seconds['total'] / 60:.1f} min")
        speaker.say("audio: " + ", ".join(f"{what}: {number}" for what, number in report.audio.items()))
    speaker.say(f"digest of the file list: {report.digest}")
    for finding in report.findings:
        speaker.say(f"{finding.level}: {finding.message}", style="" if finding.level == "note" else "yellow")
    lines = []
    for same in report.duplicates:
        differ = f" (but another {' and another '.join(same.differ)})" if same.differ else ""
        lines.append(f"duplicate: same audio: {', '.join(same.ids)}{differ}")
    _list(speaker, lines, "yellow")
    _list(speaker, [f"odd: {file}: {remark}" for file, remark in report.odd], "yellow")
    _list(speaker, [str(problem) for problem in report.unusable], "red")
    if report.unusable:
        speaker.say(f"not every file can be used: {counted(len(report.unusable), 'problem')}", style="red")
    else:
        speaker.say("every file can be used", style="green")


def _list(speaker: Speaker, lines: list[str], style: str) -> None:
    for line in lines[:SHOWN]:
        speaker.say(line, style=style)
    if len(lines) > SHOWN:
        speaker.say(f"... and {len(lines) - SHOWN} more; --json lists all", style=style)


def _table(report: Report) -> Table:

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("speaker", "", *report.emotions, "all"):
        table.add_column(column, justify="left" if column in ("speaker", "") else "right", no_wrap=True)
    for speaker, counts in report.counts.items():
        row = [str(counts.get(emotion, 0)) for emotion in report.emotions]
        table.add_row(speaker or "-", (report.genders[speaker] or "-")[0], *row, str(sum(counts.values())))
    table.add_row("all", "", *(str(number) for number in report.emotions.values()), str(report.utterances))
    return table
