"""`sere train`, `sere export` and `sere push`: from a config or a record to a model, and to a hub."""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from sere_core.cli.arguments import NAMED, OUTSIDE, Subparsers, add_command, add_config_arguments, add_fold, add_trust, read_to_start
from sere_registry.files import expanded

if TYPE_CHECKING:
    from sere_core.score.records import Record

_TRAIN = """\
examples:
  sere train my.yaml -o model
  sere train my.yaml -o model --seed 3 --set train.epochs=30

The folds are run and scored as `sere-run` does it (or their record is taken), then the model is trained on all of the
source and the whole target.  The same command goes on after an interruption."""
_EXPORT = """\
examples:
  sere export runs/my/3f0a12 -o model             # trained on everything; the card quotes the record's scores
  sere export runs/my/3f0a12 --fold 2 -o fold-2   # the network that scored fold 2, as it is
  sere export runs/my/3f0a12 --onnx -o model      # and model.onnx: from samples to posteriors in one graph"""
_PUSH = """\
examples:
  sere push model my-name/my-model --private

The token is that of `hf auth login`, or HF_TOKEN."""


def add_parser(subparsers: Subparsers) -> None:
    parser = add_command(subparsers, "train", train, _TRAIN)
    add_config_arguments(parser)
    _add_output(parser)
    add_trust(parser, OUTSIDE)
    parser = add_command(subparsers, "export", export, _EXPORT)
    parser.add_argument("record", metavar="RECORD", help="the folder of a finished run")
    add_fold(parser, "the network of this fold, not trained anew")
    help = "write model.onnx too, and hold it against torch on utterances of the target"
    parser.add_argument("--onnx", action="store_true", help=help)
    _add_output(parser)
    add_trust(parser, NAMED)
    parser = add_command(subparsers, "push", push, _PUSH)
    parser.add_argument("model", metavar="MODEL", help="the folder of a model")
    parser.add_argument("repository", metavar="NAME/MODEL", help="the repository; it is made if it is not there")
    parser.add_argument("--private", action="store_true", help="make it a private one")


def _add_output(parser: ArgumentParser) -> None:
    help = "where the model goes (default: %(default)s)"
    parser.add_argument("-o", "--output", metavar="FOLDER", default="model", help=help)
    parser.add_argument("--quiet", action="store_true", help="print errors only")


def train(arguments: Namespace) -> int:
    """Run the config, or take its record, and make the model."""
    resolved = read_to_start(arguments, arguments.quiet)
    from sere_core.model.folder import check_place
    from sere_core.run import run

    check_place(expanded(arguments.output))  # now: training takes long
    _tell_of_old(arguments)
    try:
        return _made(arguments, run(resolved, resume=True, quiet=arguments.quiet), trust=True)
    except KeyboardInterrupt:
        print(f"\ninterrupted; what is done is kept; to go on: {shlex.join(arguments.words)}", file=sys.stderr)
        return 130


def export(arguments: Namespace) -> int:
    """Make the model of a record."""
    from sere_core.score.records import Record

    record = Record.read(Path(arguments.record))
    _tell_of_old(arguments)
    if arguments.onnx:
        from sere_core.model import onnx

        onnx.check(record, arguments.trust)
    _made(arguments, record, arguments.trust, arguments.fold)
    if arguments.onnx:
        from sere_core.console import Speaker
        from sere_core.model.export import some_of_target

        out, speaker = expanded(arguments.output), Speaker(arguments.quiet)
        found = onnx.add(out, some_of_target(record, onnx.CHECKED, arguments.trust), speaker)
        near = f"posteriors differ from torch's by at most {found.difference:.1e} on {found.utterances} utterances"
        speaker.say(f"graph: {out / onnx.NAME}; {near}")
    return 0


def _tell_of_old(arguments: Namespace) -> None:
    """Say which model is there, whose place the new one takes."""
    from sere_core.console import Speaker
    from sere_core.model.folder import is_model

    if is_model(out := expanded(arguments.output)):
        Speaker(arguments.quiet).say(f"the model in {out} will be replaced")


def _made(arguments: Namespace, record: Record, trust: bool, fold: int | None = None) -> int:
    from sere_core.console import Speaker
    from sere_core.model.export import of_fold, of_record

    out, speaker = expanded(arguments.output), Speaker(arguments.quiet)
    if fold is None:
        of_record(record, out, trust, quiet=arguments.quiet)
    else:
        of_fold(record, fold, out, speaker, trust)
    speaker.say(f"model: {out} (sere predict {out} FILES -o predictions.csv)")
    return 0


def push(arguments: Namespace) -> int:
    """Check a model's folder and upload it."""
    from sere_core.model.folder import check
    from sere_core.model.hub import upload

    check(Path(arguments.model))
    print(upload(Path(arguments.model), arguments.repository, private=arguments.private))
    return 0
