"""`sere annotate`: which utterances to label, and a local page that asks for the labels."""

from __future__ import annotations

import sys
import webbrowser
from argparse import Namespace
from pathlib import Path

from sere_core.cli.arguments import Subparsers, add_command, add_speakers

_EXAMPLES = """\
examples:
  sere annotate model recordings/ -k 20 -o labels.csv
  sere annotate model recordings/ -k 20 --no-browser        # print the address only
  sere annotate model recordings/ -k 20 --list              # print what would be asked, and serve nothing

Chosen without any label: clusters of what the model hears, weighted by how unsure it is.  The labels are a manifest:

  extends: my.yaml                                          # the config of the model
  corpora: {labels: {use: manifest, params: {file: labels.csv, language: ur}}}
  task: {target_labels: labels}                             # trained on, never scored

Labels of parts of files are of labels.target.csv, which is written beside them and is the target then; the command prints the config."""


def add_parser(subparsers: Subparsers) -> None:
    parser = add_command(subparsers, "annotate", run, _EXAMPLES)
    parser.add_argument("model", metavar="MODEL", help="the folder of a model (sere train, sere export)")
    parser.add_argument("inputs", metavar="INPUT", nargs="+", help="files, folders, patterns or tables, as for `sere predict`")
    parser.add_argument("-k", type=int, default=20, metavar="K", help="how many labels there are to be (default: %(default)s)")
    parser.add_argument("-o", "--output", metavar="FILE", default="labels.csv", help="the manifest (default: %(default)s)")
    help = "auto: only what is longer than the model takes is cut into windows (default); windows; vad: stretches of speech"
    parser.add_argument("--segment", choices=("auto", "windows", "vad"), default="auto", help=help)
    add_speakers(parser)
    parser.add_argument("--classes", metavar="A,B,...", default=None, help="the labels to choose from (default: the model's)")
    parser.add_argument("--port", type=int, default=0, help="of the page (default: any that is free)")
    parser.add_argument("--no-browser", action="store_true", help="do not open the page")
    parser.add_argument("--list", action="store_true", help="print the utterances, and serve nothing")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: %(default)s)")


def run(arguments: Namespace) -> int:
    """Choose, and ask."""
    from sere_core.predict.inputs import read_inputs, with_speakers
    from sere_registry.errors import Place, counted, error

    if arguments.k < 1:
        raise error("C302", f"{arguments.k} is not at least 1", place=Place(path="-k"))
    given, out = read_inputs(arguments.inputs), Path(arguments.output)
    sources, how = with_speakers(given, arguments.speakers)

    from sere_core.annotate.labels import Labels, Question
    from sere_core.annotate.page import Page
    from sere_core.annotate.propose import manifest_config, propose
    from sere_core.console import Speaker
    from sere_core.model import Model
    from sere_core.predict.pieces import Cutting
    from sere_core.predict.speakers import Standardiser

    labels, speaker = Labels(out), Speaker(quiet=False)
    model = Model.load(arguments.model, arguments.device)
    channel, window = model.resolved.config.features.channel, min(4.0, model.max_seconds)
    cutting = Cutting(arguments.segment, window, window, model.max_seconds, channel)
    standardiser = Standardiser(model, how, sources)
    with speaker.bar("looking") as tell:
        questions, pieces, broken = propose(model, sources, cutting, arguments.k, labels, standardiser, progress=tell)
    again = len(given) - len(sources)
    for note in ([f"{counted(again, 'input')} given more than once: heard once"] if again else []) + standardiser.notes:
        print(f"note: {note}", file=sys.stderr)
    speaker.warn(tuple(str(each.problems[0]) for each in broken[:10]))
    if len(broken) > 10:
        speaker.warn((f"and {len(broken) - 10} more files that cannot be used",))
    if arguments.list:
        for each in questions:
            if not labels.of(each):
                print(each.path if each.start is None else f"{each.path}\t{each.start:g}\t{each.end:g}")
        return 0
    classes = tuple(arguments.classes.split(",")) if arguments.classes else model.classes

    def said(question: Question, label: str) -> None:
        speaker.say(f"{question.name}: {label or 'no label'}")

    try:
        page = Page(questions, classes, labels, said, arguments.port, channel)
    except OSError as cause:
        raise error("X704", f"the page cannot be served: {cause.strerror}", "another --port") from cause
    print(f"{len(questions)} utterances to label: {page.address}", flush=True)  # now, into a pipe too
    if not arguments.no_browser:
        webbrowser.open(page.address)
    try:
        page.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        page.server_close()
    speaker.say(f"{len(labels)} labels in {out}; a config takes them that extends the model's:")
    print(manifest_config(out, labels.write_target(pieces), model.languages[0]))  # as it is: a line that is broken within a path is no YAML
    return 0
