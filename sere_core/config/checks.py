"""Do the parts of a config fit together?  Works on data that may be wrong elsewhere, so that all is reported at once."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sere_core.config.nodes import Node, Path, at, place_of
from sere_core.config.resolved import Bound
from sere_registry.emotions import EMOTIONS, canonical
from sere_registry.errors import Problem, suggest

_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_NAME = re.compile(r"\w[\w.+ -]*")
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]{1,3})?")
_ID_MAPS = ("corpora", "encoders", "losses", "hooks")


class Checks:
    """The cross checks of one config.

    Args:
        root: the merged and interpolated config.
        components: those that could be bound.
    """

    def __init__(self, root: Node, components: Mapping[str, Bound]) -> None:
        self.root = root
        self.components = components
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def run(self) -> None:
        self._names()
        self._ids()
        self._task()
        self._losses()
        self._train()

    def _get(self, *path: str) -> Any:
        node = at(self.root, path)
        return None if node is None else node.data()

    def _wrong(self, code: str, path: Path, message: str, hint: str = "", key: bool = False) -> None:
        self.problems.append(Problem(code, message, hint, place_of(self.root, path, key)))

    def _names(self) -> None:
        name = self._get("name")
        if isinstance(name, str) and not _NAME.fullmatch(name):
            self._wrong("C302", ("name",), f"{name!r} cannot be the name of a folder", "use letters, digits and . _ + -")
        for section in _ID_MAPS:
            ids = self._get(section)
            for identifier in ids if isinstance(ids, dict) else ():
                if not _ID.fullmatch(identifier):
                    hint = "use letters, digits, _ and -, beginning with a letter"
                    self._wrong("C302", (section, identifier), f"{identifier!r} cannot be an id", hint, key=True)

    def _ids(self) -> None:
        """Every id that is used is defined; those that are defined and not used are worth a warning."""
        references: dict[str, list[Path]] = {"corpora": [("task", "source"), ("task", "target")], "encoders": [("paths", "labelled")]}
        unlabelled = self._get("paths", "unlabelled")
        if isinstance(unlabelled, dict):
            references["encoders"] += [("paths", "unlabelled", language) for language in unlabelled]
            if not unlabelled:
                self._wrong("C311", ("paths", "unlabelled"), "no language has an encoder", "write one id, or one for each language")
        else:
            references["encoders"].append(("paths", "unlabelled"))
        for section, paths in references.items():
            defined = self._get(section)
            if not isinstance(defined, dict):
                continue
            if not defined:
                self._wrong("C311", (section,), f"there are no {section}", "a run needs at least one")
                continue
            used = {self._get(*path) for path in paths if isinstance(self._get(*path), str)}
            for path in paths:
                identifier = self._get(*path)
                if isinstance(identifier, str) and identifier not in defined:
                    self._wrong("C308", path, f"there is no '{identifier}' in {section}", suggest(identifier, defined, section))
            for identifier in defined:
                if identifier not in used:
                    where = place_of(self.root, (section, identifier), key=True)
                    hint = "remove it, or name it where it belongs"
                    self.warnings.append(Problem("C308", f"'{identifier}' is used nowhere", hint, where))

    def _task(self) -> None:
        classes = self._get("task", "classes")
        if isinstance(classes, list):
            for index, word in enumerate(classes):
                path = ("task", "classes", str(index))
                if isinstance(word, str) and word not in EMOTIONS:
                    known = canonical(word)
                    hint = f"write {known!r}" if known else suggest(word, EMOTIONS, "emotions")
                    self._wrong("C302", path, f"'{word}' is not an emotion of the vocabulary", hint)
                elif isinstance(word, str) and word in classes[:index]:
                    self._wrong("C302", path, f"'{word}' stands twice", "remove one")
            if len(classes) < 2:
                self._wrong("C311", ("task", "classes"), "a classifier needs at least two classes", "write `shared`, or name the emotions")
        if self._get("task", "folds") == "speakers" and self._get("task", "disjoint") == "none":
            message = "`folds: speakers` leaves one speaker out, which `disjoint: none` forbids"
            self._wrong("C311", ("task", "disjoint"), message, "remove `disjoint`, or give a number of folds")
        shots, batch = self._get("task", "shots"), self._get("train", "batch", "labelled")
        if isinstance(classes, list) and isinstance(shots, int) and isinstance(batch, int) and batch > shots * len(classes) > 0:
            where = place_of(self.root, ("train", "batch", "labelled"))
            message = f"a batch of {batch} is larger than the labelled set ({shots} shots of {len(classes)} classes)"
            self.warnings.append(Problem("C311", message, "write `all`, which takes the whole set at each step", where))

    def _losses(self) -> None:
        method = self.components.get("method")
        losses = self._get("losses")
        if method is not None and method.full_name == "sere.joint" and not losses and not isinstance(losses, str):
            hint = "e.g. losses: {classify: {use: cross_entropy}}"
            self._wrong("C311", ("losses",), "the method `joint` trains on losses, and there are none", hint)

    def _train(self) -> None:
        device = self._get("train", "device")
        if isinstance(device, str) and not _DEVICE.fullmatch(device):
            near = "cuda" if device.lower().startswith("gpu") else device
            hint = suggest(near, ["auto", "cpu", "cuda", "cuda:0", "mps"], "devices")
            self._wrong("C302", ("train", "device"), f"'{device}' is not a device", hint)
        for path, value in _leaves(self._get("train", "optimizer", "params"), ("train", "optimizer", "params")):
            if isinstance(value, float) and not math.isfinite(value):
                self._wrong("C302", path, "should be a finite number")
        directory = self._get("output", "dir")
        if isinstance(directory, str) and not directory.strip():
            self._wrong("C302", ("output", "dir"), "the folder of the record has no name", "e.g. runs/${name}")


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, (dict, list)):
        children = value.items() if isinstance(value, dict) else ((str(index), item) for index, item in enumerate(value))
        for name, child in children:
            yield from _leaves(child, (*path, name))
    else:
        yield path, value
