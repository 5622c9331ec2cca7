"""A random search: the ranges that components declare for their parameters, settings drawn from them, and what chooses between trials."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.proof import is_below
from sere_core.config import Resolved
from sere_core.config.resolved import Bound
from sere_registry import BuildContext, Selector
from sere_registry.errors import error

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

#: path of a parameter -> its value
Setting = Mapping[str, object]


@dataclass(frozen=True)
class Range:
    """What the parameter at a path of the config may be: "log", "uniform" or "int" between two ends, or one of a "choice"."""

    path: str
    kind: str
    values: tuple[object, ...]
    whole: bool = False


def ranges_of(resolved: Resolved, paths: Sequence[str]) -> tuple[Range, ...]:
    """The ranges that a row's components declare at or below these paths, in the order of their names."""
    found: list[Range] = []
    for path, bound in resolved.components.items():
        for name, about in type(bound.params).model_fields.items():
            extra = about.json_schema_extra
            search = extra.get("search") if isinstance(extra, Mapping) else None
            where = f"{path}.params.{name}"
            if isinstance(search, (list, tuple)) and is_below(where, *paths):
                kind, *values = search
                given = values[0] if kind == "choice" and isinstance(values[0], (list, tuple)) else values
                found.append(Range(where, str(kind), tuple(given), kind == "int" or about.annotation is int))
    return tuple(sorted(found, key=lambda one: one.path))


def seed_of(*words: object) -> int:
    """A seed of these words: each row, pair and repeat has draws of its own, which no other row can shift.

    >>> seed_of("ours", "xa>xb", 0) == seed_of("ours", "xa>xb", 0) != seed_of("ours", "xa>xb", 1)
    True
    """
    return int.from_bytes(hashlib.sha256(json.dumps(words).encode()).digest()[:4], "big")


def draw(ranges: Sequence[Range], trials: int, seed: int) -> tuple[Setting, ...]:
    """`trials` settings, by Optuna's random sampler; the first ones are the same for any larger number.

    Without any range all settings are empty.

    Raises:
        SereError: C302 for a declared range that is none.

    >>> ours = [Range("losses.adapt.params.ridge", "log", (1e-6, 1e-1)), Range("method.params.rounds", "int", (1, 8), True)]
    >>> len(draw(ours, 5, 0)), draw(ours, 2, 0) == draw(ours, 5, 0)[:2], draw([], 2, 0)
    (5, True, ({}, {}))
    """
    if not ranges:
        return tuple({} for _ in range(trials))
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        distributions = {one.path: _distribution(one) for one in ranges}
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        drawn = [study.ask(distributions).params for _ in range(trials)]
    finally:
        optuna.logging.set_verbosity(level)
    chosen = {one.path: one.values for one in ranges if one.kind == "choice"}
    return tuple(
        {one.path: chosen[one.path][params[one.path]] if one.path in chosen else params[one.path] for one in ranges} for params in drawn
    )


def _distribution(one: Range) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    try:
        if one.kind == "choice":
            return CategoricalDistribution(range(len(one.values)))  # of places in the list: values may be anything
        low, high = one.values
        kind = IntDistribution if one.whole else FloatDistribution
        return kind(low, high, log=one.kind == "log")
    except (ValueError, TypeError) as cause:
        raise error("C302", f"{list(one.values)!r} ({one.kind}) is no range: {cause}", "leave it out of `tune.params`", one.path) from cause


class Rule:
    """A selector of the config, as a rule between finished runs: called once for each fold, on its posteriors of T_u."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound

    @property
    def label(self) -> str:
        """Its name, and the parameters that were given."""
        given = self.bound.params.model_dump(mode="json", exclude_unset=True)
        name = self.bound.use or self.bound.full_name
        return name + (f" {json.dumps(given)}" if given else "")

    def check(self) -> None:
        """Can it score a finished run?

        Raises:
            SereError: C311 for a selector that keeps the last epoch, or reads more than posteriors; P102 or B401.
        """
        selector = self._built(())
        reads = set(inspect.signature(selector.score).parameters)
        what, hint = "", "name one that scores the posteriors of T_u"
        if getattr(selector, "keeps_last", False) or "target" not in reads:
            what = "looks at epochs, not at a run's predictions"
        elif reads != {"target"}:
            what = f"reads {', '.join(sorted(reads - {'target'}))}, which a finished run does not keep"
        if what:
            raise error("C311", f"the selector '{self.label}' {what}", hint, self.bound.place)

    def score(self, record: Path, classes: tuple[str, ...]) -> float:
        """The mean over folds of the selector's score of a finished run; no file with a score or a label is opened.

        Raises:
            SereError: T505 if the record does not hold the posteriors.
        """
        import torch

        selector = self._built(classes)
        scores = [float(selector.score(target=torch.from_numpy(fold))) for fold in _target_posteriors(record)]
        return math.fsum(scores) / len(scores)

    def _built(self, classes: tuple[str, ...]) -> Selector:
        selector: Selector = self.bound.build(BuildContext(id="select", classes=classes))
        return selector


def _target_posteriors(record: Path) -> list[NDArray[np.float32]]:
    """The posteriors of T_u, `[n, C]` for each fold, by the state that predicted; they stand in the folds' checkpoints.

    Raises:
        SereError: T505 if there are none, or they cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    found = []
    try:
        paths = sorted((record / "checkpoints").glob("fold-*.safetensors"), key=lambda each: int(each.stem.partition("-")[2]))
        for path in paths:
            with safe_open(path, framework="np") as file:
                found.append(file.get_tensor("result/target"))
        if not found:
            raise ValueError("it has no checkpoints")
    except (OSError, ValueError, SafetensorError) as cause:
        what = f"{record} does not hold the posteriors of T_u: {cause}"
        raise error("T505", what, "take it away; the next call runs it again") from cause
    return found
