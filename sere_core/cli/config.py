"""`sere config show CONFIG`."""

from __future__ import annotations

from typing import Any

from sere_core.cli.run import add_config_arguments, read_config


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("config", help="show a config with every default filled in", allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    show = verbs.add_parser("show", help="print the resolved config as YAML", allow_abbrev=False)
    add_config_arguments(show)


def run(arguments: Any) -> int:
    """Print the resolved config; its digest stands in the first line, as a comment."""
    from sere_core.config.files import shown

    resolved = read_config(arguments)
    print(f"# job {resolved.digest()}, from {', '.join(shown(file) for file in resolved.sources)}")
    print(resolved.dump(), end="")
    return 0
