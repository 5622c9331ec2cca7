"""Do the parts of a config fit together?  Works on data that may be wrong elsewhere, so that all is reported at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from sere_core.config.nodes import Data, Node, Path, at, leaves, place_of
from sere_core.config.resolved import Bound
from sere_core.config.source_code import exported
from sere_registry.emotions import EMOTIONS, canonical, class_name
from sere_registry.errors import Problem, suggest

#: what every run has; metrics of a config have other ids
OWN_SCORES = ("n", "uar", "war", "f1", "chance", "majority", "ece", "brier", "nll", "aurc")


class Checks:
    """The cross checks of one config: `problems()` and `warnings()`.

    Args:
        root: the merged config, its references replaced.
        components: those that could be bound.
    """

    def __init__(self, root: Node, components: Mapping[str, Bound]) -> None:
        self.root, self.components = root, components

    def problems(self) -> Iterator[Problem]:
        yield from self._ids()
        yield from self._task()
        yield from self._metrics()
        needs = {"field_path": ("own", "compares S_l as every path's encoder reads it"), "predict": ("mean", "asks every path's encoder")}
        for key, (value, what) in needs.items():
            if self._get("paths", key) == value and self._get("paths", "supervise") == "labelled":
                message = f"`{key}: {value}` {what}, and with `supervise: labelled` one alone is taught by labels"
                yield self._at(("paths", key), "C311", message, f"remove `supervise`, or `{key}`")
        method, losses = self.components.get("method"), self._get("losses")
        if method is not None and method.full_name == "sere.joint" and not losses and not isinstance(losses, str):
            message = "the method `joint` trains on losses, and there are none"
            yield self._at(("losses",), "C311", message, "e.g. losses: {classify: {use: cross_entropy}}")
        if method is not None and method.spec.own_losses and losses and isinstance(losses, dict):
            message = f"the method '{method.full_name}' of {method.owner} has its own losses; these would do nothing: {', '.join(losses)}"
            yield self._at(("losses",), "C311", message, "remove them, or use method 'joint'")
        params = ("train", "optimizer", "params")
        for path, value in leaves(self._get(*params), params):
            if any(isinstance(one, float) and not math.isfinite(one) for one in [value, *(value if isinstance(value, list) else [])]):
                yield self._at(path, "C302", "should be a finite number")

    def warnings(self) -> Iterator[Problem]:
        for section, paths in self._references().items():
            used = [self._get(*path) for path in paths]
            for name in self._get(section) or ():
                if name not in used:
                    hint = "remove it, or name it where it belongs"
                    yield self._at((section, name), "C308", f"'{name}' is used nowhere", hint, key=True)
        classes, shots = self._get("task", "classes"), self._get("task", "shots")
        labelled = ("train", "batch", "labelled")
        batch = self._get(*labelled)
        size = shots * len(classes) if isinstance(classes, list) and isinstance(shots, int) else 0
        if isinstance(batch, int) and batch > size > 0:
            message = f"a batch of {batch} is larger than the labelled set ({shots} shots of {len(classes)} classes)"
            yield self._at(labelled, "C311", message, "write `all`, which takes the whole set at each step")

    def _get(self, *path: str) -> Data:
        node = at(self.root, path)
        return None if node is None else node.data()

    def _at(self, path: Path, code: str, message: str, hint: str = "", key: bool = False) -> Problem:
        return Problem(code, message, hint, place_of(self.root, path, key))

    def _references(self) -> dict[str, list[Path]]:
        """Section of ids -> where they are used."""
        unlabelled = ("paths", "unlabelled")
        languages = self._get(*unlabelled)
        each = [(*unlabelled, name) for name in languages] if isinstance(languages, dict) else [unlabelled]
        corpora: list[Path] = [("task", "source"), ("task", "target"), ("task", "target_labels")]
        return {"corpora": corpora, "encoders": [("paths", "labelled"), *each]}

    def _ids(self) -> Iterator[Problem]:
        """Every id that is used is defined."""
        if self._get("paths", "unlabelled") == {}:
            hint = "write one id, or one for each language"
            yield self._at(("paths", "unlabelled"), "C311", "no language has an encoder", hint)
        for section, paths in self._references().items():
            defined = self._get(section)
            if defined == {}:
                yield self._at((section,), "C311", f"there are no {section}", "a run needs at least one")
            elif isinstance(defined, dict):
                for path in paths:
                    name = self._get(*path)
                    if isinstance(name, str) and name not in defined:
                        yield self._at(path, "C308", f"there is no '{name}' in {section}", suggest(name, defined, section))

    def _task(self) -> Iterator[Problem]:
        classes = self._get("task", "classes")
        if isinstance(classes, list):
            corpora = [bound for path, bound in self.components.items() if path.startswith("corpora.")]
            own = any(
                bound.unread or "labels" in type(bound.params).model_fields for bound in corpora
            )  # corpora whose labels the user names
            for index, word in enumerate(classes):
                path = ("task", "classes", str(index))
                if isinstance(word, str) and (class_name(word) != word or not (own or word in EMOTIONS)):
                    known = canonical(word)
                    hint = f"write {known!r}" if known else suggest(word, EMOTIONS, "emotions")
                    what = "cannot be the name of a class" if own and not known else "is not an emotion of the vocabulary"
                    yield self._at(path, "C302", f"'{word}' {what}", hint)
                elif isinstance(word, str) and word in classes[:index]:
                    yield self._at(path, "C302", f"'{word}' stands twice", "remove one")
            if len(classes) < 2:
                hint = "write `shared`, or name the emotions"
                yield self._at(("task", "classes"), "C311", "a classifier needs at least two classes", hint)
        if self._get("task", "folds") == "speakers" and self._get("task", "disjoint") == "none":
            message = "`folds: speakers` leaves one speaker out, which `disjoint: none` forbids"
            yield self._at(("task", "disjoint"), "C311", message, "remove `disjoint`, or give a number of folds")

    def _metrics(self) -> Iterator[Problem]:
        """Every metric is one of torchmetrics for several classes; that package is read, not imported."""
        metrics = self._get("metrics")
        for id, block in metrics.items() if isinstance(metrics, dict) else ():
            if id in OWN_SCORES:
                hint = "give the metric another id"
                yield self._at(("metrics", id), "C302", f"every run has a score '{id}'", hint, key=True)
            use = block.get("use") if isinstance(block, dict) else None
            if isinstance(use, str):
                forms = exported("torchmetrics.classification")
                known = [name.removeprefix("Multiclass") for name in forms if name.startswith("Multiclass")]
                if use.removeprefix("Multiclass") not in known:
                    message, hint = f"torchmetrics has no metric '{use}' for several classes", suggest(use, known, "its metrics")
                    yield self._at(("metrics", id, "use"), "C302", message, hint)
