"""`sere predict`: a trained model on files, folders, long recordings or the microphone."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from sere_core.cli.arguments import Subparsers, add_command, add_repeated, add_speakers
from sere_registry.files import expanded

_EXAMPLES = """\
examples:
  sere predict model recordings/ -o predictions.csv
  sere predict model calls.csv -o predictions.csv            # columns: path[, speaker, start, end, language]
  sere predict model long.wav --segment vad -o - | head
  sere predict model recordings/ --format TextGrid -o grids
  find . -name '*.wav' | sere predict model - -o predictions.jsonl --abstain 0.6
  sere predict model --mic

A row has a posterior for each class as the network gives it, the prediction, and its confidence: the prediction's
posterior at the model's temperature, which was fitted without labels.  A file that cannot be used is a row with its error,
and the run goes on.  The same command goes on after an interruption, with the same bytes in the end."""

#: seconds that a window, and the step to the next, may have
_DAY = 86_400.0


class _Intermixed(ArgumentParser):
    """Takes inputs behind options, too: `sere predict MODEL -o FILE INPUT`."""

    _inside = False

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def, override]
        if self._inside:
            return super().parse_known_args(args, namespace)
        self._inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._inside = False


def add_parser(subparsers: Subparsers) -> None:
    parser = add_command(subparsers, "predict", run, _EXAMPLES)
    parser.__class__ = _Intermixed
    parser.add_argument("model", metavar="MODEL", help="the folder of a model (sere train, sere export)")
    help = "a file, a folder, a pattern, a table with a column `path` (.csv, .tsv), @LIST, or - for paths on standard input"
    parser.add_argument("inputs", metavar="INPUT", nargs="*", help=help)
    add_repeated(parser, "--list", "FILE", "a file with a path on each line", "lists")
    help = "the output (default: %(default)s); - for standard output"
    parser.add_argument("-o", "--output", metavar="FILE", default="predictions.csv", help=help)
    formats = ("csv", "jsonl", "audformat", "TextGrid", "eaf")
    help = "default: by the suffix; TextGrid (Praat) and eaf (ELAN) have a file for each recording in a folder"
    parser.add_argument("--format", choices=formats, default=None, help=help)
    help = "auto: only what is longer than the model takes is cut into windows (default); windows; vad: stretches of speech; none"
    parser.add_argument("--segment", choices=("auto", "windows", "vad", "none"), default="auto", help=help)
    help = "seconds of a window (default: 4), at most those that the model takes"
    parser.add_argument("--window", type=float, default=None, metavar="S", help=help)
    help = "seconds from one window to the next, at most a window (default: half of one)"
    parser.add_argument("--hop", type=float, default=None, metavar="S", help=help)
    help = "of files with two (default: as the model was trained)"
    parser.add_argument("--channel", choices=("mix", "left", "right"), default=None, help=help)
    add_speakers(parser)
    help = "no prediction where the confidence (at the model's temperature) is lower"
    parser.add_argument("--abstain", type=float, default=0.0, metavar="P", help=help)
    parser.add_argument("--mic", action="store_true", help="predict each window of the microphone until Ctrl-C")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: %(default)s)")
    parser.add_argument("--fresh", action="store_true", help="write the output anew where it is there")
    parser.add_argument("--quiet", action="store_true", help="print errors only")


def run(arguments: Namespace) -> int:
    """Predict.

    Raises:
        SereError: what is wrong with the model, the arguments or the output; with files only where none can be used.
    """
    import warnings

    from sere_core.predict.inputs import read_inputs, with_speakers
    from sere_core.predict.outputs import Writer, format_of
    from sere_registry.errors import Place, counted, error

    for name, low, high in (("window", 0.1, _DAY), ("hop", 0.05, _DAY), ("abstain", 0.0, 1.0)):
        value = getattr(arguments, name)
        if value is not None and not low <= value <= high:
            raise error("C302", f"{value:g} is not from {low:g} to {high:g}", place=Place(path=f"--{name}"))
    if arguments.mic and (arguments.inputs or arguments.lists):
        raise error("C302", "--mic listens, and reads no files", "leave one of them out")
    form, folder, out = format_of(arguments.output, arguments.format), expanded(arguments.model), Path(arguments.output)

    from sere_core.console import Speaker
    from sere_core.model import Model
    from sere_core.model.folder import identity
    from sere_core.predict.job import Job, Options, check_free, predict_files
    from sere_core.predict.pieces import Cutting, needs

    own = identity(folder)
    given = [] if arguments.mic else read_inputs(arguments.inputs, arguments.lists)
    sources, how = with_speakers(given, arguments.speakers)
    if (again := len(given) - len(sources)) and not arguments.quiet:
        print(f"note: {counted(again, 'input')} given more than once: predicted once", file=sys.stderr)
    if not arguments.mic:
        check_free(out, form, arguments.fresh)
    model = Model.load(folder, arguments.device)
    window = min(arguments.window or 4.0, model.max_seconds)
    if window < (arguments.window or 0) and not arguments.quiet:
        print(f"note: windows are of {window:g} s: the model takes no more", file=sys.stderr)
    if (arguments.hop or 0.0) > window:
        what = f"{arguments.hop:g} s from one window to the next skip speech: a window is of {window:g} s"
        raise error("C302", what, f"name {window:g} or less", Place(path="--hop"))
    channel = arguments.channel or model.resolved.config.features.channel
    cutting = Cutting(arguments.segment, window, arguments.hop or window / 2, model.max_seconds, channel)
    if arguments.mic:
        from sere_core.predict.microphone import listen

        return listen(model, cutting.window, arguments.abstain)
    needs(cutting)
    warnings.filterwarnings("ignore", category=RuntimeWarning)  # numpy's, of samples that end as a row with an error
    speaker = Speaker(arguments.quiet or arguments.output == "-", stderr=arguments.output == "-")
    with speaker.bar("predicting") as progress:
        job = Job(model, own, sources, Options(cutting, how, arguments.abstain), progress)
        tally = predict_files(job, out, Writer(form, model.classes), fresh=arguments.fresh)
    for note in () if arguments.quiet else job.notes(tally):
        print(f"note: {note}", file=sys.stderr)
    predicted = sum(tally.predicted.values())
    shares = ", ".join(f"{name} {100 * count / predicted:.0f} %" for name, count in sorted(tally.predicted.items()) if predicted)
    speaker.say(f"{tally.rows} rows of {len(sources)} inputs: {shares or 'no predictions'}")
    if tally.abstained:
        speaker.say(f"{tally.abstained} rows below the confidence {arguments.abstain:g}")
    if tally.failed:
        speaker.say(f"{tally.failed} rows with an error: see the column `error`", style="yellow")
    if tally.odd:
        speaker.say(f"{tally.odd} rows whose audio is odd: see the column `warning`", style="yellow")
    speaker.say(f"predictions: {out}")
    return 0
