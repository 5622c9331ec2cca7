"""Config files: finding them, reading them, and laying each over the files that it extends."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import sere_core
from sere_core.config.merge import merge
from sere_core.config.nodes import Node
from sere_core.config.yaml_text import read
from sere_registry.errors import Place, Problem, SereError, error, suggest
from sere_registry.files import read_file

#: bytes of a config: no one writes as many
_MOST = 2**24
_SUFFIXES = (".yaml", ".yml")


def bundled() -> dict[str, Path]:
    """The configs that come with sere: name without suffix ("sere_default", "tables/table1") -> file."""
    package = Path(sere_core.__file__).parent
    folders = [package / "configs"]
    if (package.parent / "pyproject.toml").is_file():  # a checkout, not site-packages
        folders.append(package.parent / "configs")
    found: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if file.suffix in _SUFFIXES:
                found.setdefault(file.relative_to(folder).with_suffix("").as_posix(), file)
    return found


def find(name: str, folder: Path, place: Place) -> Path:
    """The file that `name` means: below `folder`, or the bundled one.

    Raises:
        SereError: C304.
    """
    path = folder / name
    bare = Path(name.removesuffix(".yaml").removesuffix(".yml")).as_posix().removeprefix("configs/")
    try:
        is_folder = bool(name.strip()) and path.is_dir()
        if name.strip() and path.exists() and not is_folder:
            return path
    except (OSError, ValueError) as cause:
        raise _unreadable(name, cause, place) from None
    known = bundled()
    if bare in known and not (is_folder and name.endswith(_SUFFIXES)):
        return known[bare]
    message = f"'{name}' is a folder, not a config file" if is_folder else f"there is no config file '{name}'"
    raise error("C304", message, suggest(bare, known, "configs that come with sere"), place)


def shown(path: Path) -> str:
    """How messages name the file: relative to the working directory where it lies below that."""
    here = os.path.relpath(path) if path.is_absolute() else os.path.normpath(path)
    return str(path) if here.startswith("..") and path.is_absolute() else here


def text_of(path: Path, place: Place) -> str:
    """The text of a config file.

    Raises:
        SereError: C304 (cannot be read), C310 (not UTF-8).
    """
    name = shown(path)
    try:
        data = read_file(path, _MOST)
    except (OSError, ValueError) as cause:
        raise _unreadable(name, cause, place) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        before = data[: cause.start]
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        message = f"the file is not UTF-8 text: byte 0x{data[cause.start]:02x}"
        spot = Place(name, before.count(b"\n") + 1, column)
        raise error("C310", message, "save it with the encoding UTF-8", spot) from None


class Sources:
    """Reads a config and what it extends.

    Args:
        problems: gets what is wrong with the files.

    Attributes:
        files: those read, the one asked for first.
        folders: file as shown in messages -> its folder.
    """

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        self.files: list[Path] = []
        self.folders: dict[str, Path] = {}

    def tree(self, name: str, folder: Path = Path(), place: Place | None = None, above: tuple[Path, ...] = ()) -> Node | None:
        """The merged tree of the config `name`, relative to `folder`; None if it cannot be read.

        Args:
            name: a file, or a config that comes with sere.
            folder: default: the working directory.
            place: where the name was written, for messages.
            above: the files that extend this one.
        """
        place = place or Place(name)
        try:
            path = find(name, folder, place)
            real = path.resolve()
            if real in above:
                circle = " -> ".join(shown(file) for file in [*above[above.index(real) :], real])
                hint = "remove one of these `extends`"
                raise error("C304", f"the config extends itself: {circle}", hint, place)
            text = text_of(path, place)
        except (SereError, OSError, RuntimeError) as cause:  # or a circle of symbolic links
            coded = cause if isinstance(cause, SereError) else _unreadable(name, cause, place)
            self.problems.extend(coded.problems)
            return None
        file = shown(path)
        if real not in self.files:
            self.files.append(real)
        self.folders[file] = real.parent
        root = self._root(text, file)
        if root is None:
            return None
        merged: Node | None = Node({}, root.start)
        extends = root.child("extends")
        bases = [] if extends is None or extends.value is None else extends.value if isinstance(extends.value, list) else [extends]
        for base in bases:
            if isinstance(base.value, str):
                tree = self.tree(base.value, real.parent, replace(base.start, path="extends"), (*above, real))
                merged = merge(merged, tree) if tree is not None else merged
            else:
                spot = replace(base.place, path="extends")
                self.problems.append(Problem("C302", "should be the name of a file, or a list of names", "", spot))
        return merge(merged, Node({key: child for key, child in root.value.items() if key != "extends"}, root.start))

    def _root(self, text: str, file: str) -> Node | None:
        found: list[Problem] = []
        root = read(text, Place(file), found)
        if root is None or root.value is None:
            empty = Problem("C310", "the file is empty", "a config begins with `sere: 1`", Place(file))
            self.problems.extend(found or [empty])
            return None
        self.problems.extend(found)
        if isinstance(root.value, dict):
            return Node(root.value, Place(file, 1, 1))
        what = "a list" if isinstance(root.value, list) else "a single value"
        message = f"a config is a mapping, this is {what}"
        self.problems.append(Problem("C310", message, "write `key: value` lines", root.start))
        return None


def _unreadable(name: str, cause: Exception, place: Place) -> SereError:
    return error("C304", f"'{name}' cannot be read: {getattr(cause, 'strerror', None) or cause}", "", place)
