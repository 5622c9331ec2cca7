"""What a plan was made of, so that an unchanged comparison need not be planned again."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sere_core.compare.places import read_json, write_json
from sere_core.score.manifest import code_digest

#: of the environment itself, whatever the configs read: which plugins may be used
ALWAYS = ("SERE_DISABLE", "SERE_NO_PLUGINS")
MOST_FILES = 100_000


class Watched(Mapping[str, str]):
    """The environment, remembering which variables were asked for.

    >>> watched = Watched({"A": "1", "B": "2"})
    >>> watched["A"], "C" in watched, sorted(watched.read)
    ('1', False, ['A', 'C'])
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return self._environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)


@dataclass(frozen=True)
class Inputs:
    """Everything that a plan depends on.

    Args:
        command: what was asked for on the command line, and from which folder.
        files: configs and single-file components, by content.
        variables: names of environment variables, by value.
        packages: packages of code, by content.
        data: folders and files of corpora, by the names and sizes of what is in them.
    """

    command: Mapping[str, Any]
    files: tuple[str, ...]
    variables: tuple[str, ...]
    packages: tuple[str, ...]
    data: tuple[str, ...]

    def digest(self, environ: Mapping[str, str] = os.environ) -> str:
        """A digest of what all of it holds now."""
        content = {
            "command": self.command,
            "files": {name: _content(Path(name)) for name in self.files},
            "variables": {name: environ.get(name) for name in (*ALWAYS, *self.variables)},
            "packages": {name: code_digest(f"{name}:") for name in self.packages},
            "data": {name: _listing(Path(name)) for name in self.data},
            "installed": installed(),
            "python": platform.python_version(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Write `asked.json`.

        Raises:
            SereError: X704 or X705.
        """
        write_json(folder / "asked.json", asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Inputs | None:
        """Those of the last plan; None if nothing is known."""
        data = read_json(folder / "asked.json")
        try:
            lists = {name: tuple(data[name]) for name in ("files", "variables", "packages", "data")}
            return cls(command=data["command"], **lists)
        except (TypeError, KeyError):
            return None


def installed() -> str:
    """A digest of the installed distributions and their versions, from the names of their folders: no metadata is parsed."""
    found: set[str] = set()
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        found.update(name for name in names if name.endswith((".dist-info", ".egg-info")))
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()


def _content(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _listing(path: Path) -> str | None:
    """The names and sizes of all files below a folder; a file by its content."""
    if not path.is_dir():
        return _content(path)
    lines: list[str] = []
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            whole = os.path.join(folder, name)
            try:
                lines.append(f"{whole} {os.stat(whole).st_size}")
            except OSError:
                lines.append(f"{whole} gone")
        if len(lines) > MOST_FILES:
            break
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
