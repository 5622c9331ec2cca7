"""`sere resonance CONFIG ID_A ID_B -o map.png`: what a trained run's field sees between two utterances, as a picture."""

from __future__ import annotations

from typing import Any

_EXAMPLES = """\
examples:
  sere resonance sere_default xa/s01-anger-1 xb/s03-anger-2 -o map.png
  sere resonance my.yaml 03a01Wa f1/rab-f1-b1 --fold 2 -o map.svg

The run of the config must be trained (sere-run CONFIG, with the same --set).  Ids stand in folds.json of its record; a corpus
may stand before them.  Nothing is trained, and no label of the target is opened."""


def add_parser(subparsers: Any) -> None:
    """Add the command to `sere`."""
    from argparse import RawDescriptionHelpFormatter

    from sere_core.cli.run import add_config_arguments

    parser = subparsers.add_parser(
        "resonance",
        help="draw the resonance of two utterances of a trained run",
        allow_abbrev=False,
        formatter_class=RawDescriptionHelpFormatter,
        epilog=_EXAMPLES,
    )
    add_config_arguments(parser)
    parser.add_argument("a", metavar="ID_A", help="utterance a, whose frames are aligned with those of b")
    parser.add_argument("b", metavar="ID_B", help="utterance b")
    parser.add_argument("-o", "--output", metavar="FILE", default="resonance.png", help="a .png, .svg or .pdf (default: %(default)s)")
    parser.add_argument("--fold", type=int, default=None, help="which fold's network (default: the last that is trained)")
    parser.add_argument(
        "--lines", type=int, default=40, metavar="N", help="lines between the N most resonant frames (default: %(default)s)"
    )


def run(arguments: Any) -> int:
    """Draw the map.

    Raises:
        SereError: whatever is wrong with the config, the ids, or the run.
    """
    from sere_core.cli.run import read_config, run_command
    from sere_core.picture.files import picture_path, save
    from sere_core.picture.pair import find, look, trained_folds
    from sere_core.plan import make_plan
    from sere_registry.errors import Place, error

    path = picture_path(arguments.output)
    resolved = read_config(arguments)
    plan = make_plan(resolved)
    trained = trained_folds(resolved, plan, run_command(arguments))
    number = max(trained) if arguments.fold is None else arguments.fold
    if number not in trained:
        hint = f"trained folds: {', '.join(map(str, trained))}"
        raise error("C302", f"fold {number} is not trained", hint, Place(path="--fold"))
    fold = plan.task.folds[number]
    chosen = find(fold, (arguments.a, arguments.b))

    from sere_core.console import Speaker
    from sere_core.picture.resonance import draw

    speaker = Speaker(quiet=False)
    pair = look(resolved, plan, fold, chosen, speaker)
    save(draw(pair, max(arguments.lines, 0)), path)
    speaker.say(f"S(a, b) = {pair.similarity:.3f}, S(b, a) = {pair.back:.3f}: {path}")
    return 0
