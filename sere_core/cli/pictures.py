"""`sere resonance` and `sere embeddings`: pictures of trained runs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sere_core.cli.arguments import (
    OUTSIDE,
    Subparsers,
    add_command,
    add_config_arguments,
    add_fold,
    add_trust,
    read_to_start,
    run_command,
)
from sere_core.console import Speaker
from sere_registry.errors import Place, counted, error

_RESONANCE = """\
examples:
  sere resonance sere_default xa/s01-anger-1 xb/s03-anger-2 -o map.png
  sere resonance my.yaml 03a01Wa f1/rab-f1-b1 --fold 2 -o map.svg

The run of the config must be trained (sere-run CONFIG, with the same --set).  Ids stand in folds.json of its record; a corpus
may stand before them.  Nothing is trained, and no label of the target is opened."""
_EMBEDDINGS = """\
examples:
  sere embeddings runs/full/3f0a runs/no-dual/91c2 runs/no-prototype/0b77 runs/source-only/c4d1 -o fig3.png
  sere embeddings sere=runs/full/3f0a "field off=runs/mean/77aa" --fold 2 -o two.svg

Colours are the runs' predictions: the true emotions of the target are not opened for a picture."""


def add_parser(subparsers: Subparsers) -> None:
    parser = add_command(subparsers, "resonance", draw_resonance, _RESONANCE)
    add_config_arguments(parser)
    add_trust(parser, OUTSIDE)
    parser.add_argument("a", metavar="ID_A", help="utterance a, whose frames are aligned with those of b")
    parser.add_argument("b", metavar="ID_B", help="utterance b")
    _add_output(parser, "resonance.png")
    help = "which fold's network (default: the last that is trained)"
    add_fold(parser, help)
    help = "lines between the N most resonant frames (default: %(default)s)"
    parser.add_argument("--lines", type=int, default=40, metavar="N", help=help)

    parser = add_command(subparsers, "embeddings", draw_embeddings, _EMBEDDINGS)
    help = "the folder of a finished run, with a title of its panel"
    parser.add_argument("records", metavar="[TITLE=]RECORD", nargs="+", help=help)
    _add_output(parser, "embeddings.png")
    add_fold(parser, "whose test utterances (default: 1)", 0)
    parser.add_argument("--seed", type=int, default=0, help="of t-SNE (default: %(default)s)")


def _add_output(parser: ArgumentParser, default: str) -> None:
    help = "a .png, .svg or .pdf (default: %(default)s)"
    parser.add_argument("-o", "--output", metavar="FILE", default=default, help=help)


def draw_resonance(arguments: Namespace) -> int:
    """Draw the map."""
    from sere_core.picture.files import picture_path, save
    from sere_core.picture.pair import find, look, trained_folds
    from sere_core.picture.resonance import draw
    from sere_core.plan import make_plan
    from sere_core.run import folder_of

    path = picture_path(arguments.output)
    resolved = read_to_start(arguments)
    plan = make_plan(resolved)
    folder = folder_of(plan)
    trained = trained_folds(folder, resolved, plan, run_command(arguments))
    number = max(trained) if arguments.fold is None else arguments.fold
    if number not in trained:
        hint = f"trained folds: {', '.join(str(each + 1) for each in trained)}"
        raise error("C302", f"fold {number + 1} is not trained", hint, Place(path="--fold"))
    fold = plan.task.folds[number]
    speaker = Speaker(quiet=False)
    (pair,) = look(folder, resolved, plan, fold, [find(fold, (arguments.a, arguments.b))], speaker)
    save(draw(pair, max(arguments.lines, 0)), path)
    speaker.say(f"S(a, b) = {pair.similarity:.3f}, S(b, a) = {pair.back:.3f}: {path}")
    return 0


def draw_embeddings(arguments: Namespace) -> int:
    """Draw the panels."""
    from sere_core.picture.embeddings import draw, read_panel
    from sere_core.picture.files import picture_path, save

    path = picture_path(arguments.output)
    panels = []
    for text in arguments.records:
        title, equals, folder = text.partition("=")
        titled = bool(equals) and not Path(text).exists()
        panels.append(read_panel(Path(folder if titled else text), arguments.fold, title if titled else None))
    save(draw(panels, arguments.seed), path)
    print(f"{counted(len(panels), 'panel')}: {path}")
    return 0
