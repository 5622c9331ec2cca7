"""The files of a config: itself and all that it extends, merged into one tree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as FilePath

from sere_core.config.files import find, shown, text_of
from sere_core.config.merge import merge
from sere_core.config.nodes import Node
from sere_core.config.reader import read
from sere_registry.errors import Place, Problem, SereError, error

MAX_EXTENDS = 8
MAX_FILES = 64


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
        self.files: list[FilePath] = []
        self.folders: dict[str, FilePath] = {}
        self._reads = 0

    def tree(self, name: str, folder: FilePath = FilePath(), place: Place | None = None) -> Node | None:
        """The merged tree of the config `name`, relative to `folder`; None if it cannot be read.

        Args:
            name: a file, or a config that comes with sere.
            folder: default: the working directory.
            place: where the name was written, for messages.
        """
        return self._tree(name, folder, place or Place(name), ())

    def _tree(self, name: str, folder: FilePath, place: Place, above: tuple[FilePath, ...]) -> Node | None:
        try:
            path = find(name, folder, place)
            real = path.resolve()
            if real in above:
                circle = " -> ".join(shown(file) for file in [*above[above.index(real) :], real])
                raise error("C304", f"the config extends itself: {circle}", "remove one of these `extends`", place)
            if len(above) > MAX_EXTENDS:
                raise error("C304", f"`extends` goes more than {MAX_EXTENDS} files deep", "merge some of the files", place)
            self._reads += 1
            if self._reads > MAX_FILES:
                raise error("C304", f"the config extends more than {MAX_FILES} files", "merge some of the files", place)
            text = text_of(path, place)
        except SereError as cause:
            self.problems.extend(cause.problems)
            return None
        except (OSError, RuntimeError) as cause:  # a circle of symbolic links
            self.problems.append(Problem("C304", f"'{name}' cannot be read: {cause}", "", place))
            return None
        file = shown(path)
        if real not in self.files:
            self.files.append(real)
        self.folders[file] = real.parent
        return self._merged(text, file, real, above)

    def _merged(self, text: str, file: str, real: FilePath, above: tuple[FilePath, ...]) -> Node | None:
        count = len(self.problems)
        root = read(text, lambda line, column: Place(file, line, column), self.problems)
        if root is None or root.value is None:
            if len(self.problems) == count:
                self.problems.append(Problem("C310", "the file is empty", "a config begins with `sere: 1`", Place(file)))
            return None
        if not isinstance(root.value, dict):
            what = "a list" if isinstance(root.value, list) else "a single value"
            self.problems.append(Problem("C310", f"a config is a mapping, this is {what}", "write `key: value` lines", root.start))
            return None
        merged: Node | None = Node({}, Place(file, 1, 1))
        for base in self._bases(root):
            tree = self._tree(str(base.value), real.parent, replace(base.start, path="extends"), (*above, real))
            merged = merge(merged, tree) if tree is not None else merged
        own = Node({name: child for name, child in root.value.items() if name != "extends"}, Place(file, 1, 1))
        return merge(merged, own)

    def _bases(self, root: Node) -> list[Node]:
        extends = root.value.get("extends")
        if extends is None or extends.value is None:
            return []
        items = extends.value if isinstance(extends.value, list) else [extends]
        for item in items:
            if not isinstance(item.value, str):
                place = replace(item.place, path="extends")
                self.problems.append(Problem("C302", "should be the name of a file, or a list of names", "", place))
        return [item for item in items if isinstance(item.value, str)]
