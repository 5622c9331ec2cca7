"""`sere embeddings RECORD... -o fig3.png`: where runs put the scored utterances, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_EXAMPLES = """\
examples:
  sere embeddings runs/full/3f0a runs/no-dual/91c2 runs/no-prototype/0b77 runs/source-only/c4d1 -o fig3.png
  sere embeddings sere=runs/full/3f0a "field off=runs/mean/77aa" --fold 2 -o two.svg

Colours are the runs' predictions: the true emotions of the target are not opened for a picture."""


def add_parser(subparsers: Any) -> None:
    """Add the command to `sere`."""
    from argparse import RawDescriptionHelpFormatter

    parser = subparsers.add_parser(
        "embeddings",
        help="draw where runs put the scored utterances, side by side",
        allow_abbrev=False,
        formatter_class=RawDescriptionHelpFormatter,
        epilog=_EXAMPLES,
    )
    parser.add_argument("records", metavar="[TITLE=]RECORD", nargs="+", help="the folder of a finished run, with a title of its panel")
    parser.add_argument("-o", "--output", metavar="FILE", default="embeddings.png", help="a .png, .svg or .pdf (default: %(default)s)")
    parser.add_argument("--fold", type=int, default=0, help="whose test utterances (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of t-SNE (default: %(default)s)")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of errors too")


def run(arguments: Any) -> int:
    """Draw the panels.

    Raises:
        SereError: T505 for what is no finished record, X704 where the picture cannot be written.
    """
    from sere_core.picture.embeddings import draw, read_panel
    from sere_core.picture.files import picture_path, save

    path = picture_path(arguments.output)
    panels = []
    for text in arguments.records:
        title, equals, folder = text.partition("=")
        titled = bool(equals) and not Path(text).exists()
        panels.append(read_panel(Path(folder if titled else text), arguments.fold, title if titled else None))
    save(draw(panels, arguments.seed), path)
    print(f"{len(panels)} panel{'s' * (len(panels) != 1)}: {path}")
    return 0
