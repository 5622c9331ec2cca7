"""`sere config fill CONFIG`: a complete config from a partial one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sere_core.cli.run import add_config_arguments, read_config


def add_arguments(parser: Any) -> None:
    add_config_arguments(parser)
    parser.add_argument("-o", "--output", metavar="FILE", default=None, help="write it there (default: print it)")
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")
    parser.add_argument("--json", action="store_true", help="as JSON: the config, and the paths that were filled in")


def run(arguments: Any) -> int:
    """Write the config with every default filled in, without `extends` and `vars`; a missing `sere` or `name` is added.

    Raises:
        SereError: every mistake in the config; C304 (FILE exists), X704 or X705 (it cannot be written).
    """
    from sere_core.config.nodes import leaves
    from sere_core.config.nodes import dotted
    from sere_core.cli.origins import DEFAULT, origin

    arguments.sets = [*_head(arguments), *arguments.sets]
    resolved = read_config(arguments)
    config = resolved.config.model_dump(mode="json")
    if arguments.json:
        filled = [dotted(path) for path, _ in leaves(config) if origin(resolved, path) == DEFAULT]
        text = json.dumps({"config": config, "filled": filled}, indent=2, ensure_ascii=False) + "\n"
    else:
        text = resolved.dump()
    if arguments.output is None:
        print(text, end="")
    else:
        _write(Path(arguments.output), text, arguments.force)
    return 0


def _head(arguments: Any) -> list[str]:
    """What every config begins with, where this one does not say it."""
    from sere_core.config.files import Sources

    root = Sources([]).tree(arguments.config)
    if root is None or not isinstance(root.value, dict):
        return []  # loading will say what is wrong
    named = {text.partition("=")[0].strip() for text in arguments.sets}
    defaults = {"sere": "1", "name": json.dumps(Path(arguments.config).stem)}
    return [f"{key}={value}" for key, value in defaults.items() if key not in root.value and key not in named]


def _write(path: Path, text: str, force: bool) -> None:
    import errno

    from sere_registry.errors import error

    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise error("C304", f"{path} exists", "choose another name, or replace it with --force") from None
    except (OSError, ValueError) as cause:
        code = "X705" if getattr(cause, "errno", None) == errno.ENOSPC else "X704"
        raise error(code, f"{path} cannot be written: {getattr(cause, 'strerror', None) or cause}") from None
