"""Random settings out of declared ranges, by Optuna's random sampler."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sere_core.compare.sweep.space import Range
from sere_registry.errors import error

Setting = Mapping[str, Any]


def check_installed() -> None:
    """Is Optuna there?

    Raises:
        SereError: P108.
    """
    if importlib.util.find_spec("optuna") is None:
        raise error("P108", "`sere sweep` needs the distribution 'optuna'", 'pip install "sere[sweep]"')


def seed_of(*words: object) -> int:
    """A seed of these words: each row, pair and repeat has draws of its own, which no other row can shift.

    >>> seed_of("ours", "xa>xb", 0) == seed_of("ours", "xa>xb", 0) != seed_of("ours", "xa>xb", 1)
    True
    """
    return int.from_bytes(hashlib.sha256(json.dumps(words).encode()).digest()[:4], "big")


def draw(ranges: Sequence[Range], trials: int, seed: int) -> tuple[Setting, ...]:
    """`trials` settings, path -> value; the first ones are the same for any larger number.  Without ranges all of them are empty.

    Args:
        ranges: what is drawn.
        trials: how many.
        seed: of the sampler.

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
    return tuple({one.path: _value(one, params[one.path]) for one in ranges} for params in drawn)


def _distribution(one: Range) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    try:
        if one.kind == "choice":
            return CategoricalDistribution(range(len(one.values)))  # of places in the list: values may be anything
        low, high = one.values
        kind = IntDistribution if one.whole else FloatDistribution
        return kind(low, high, log=one.kind == "log")
    except (ValueError, TypeError) as cause:
        raise error("C302", f"{list(one.values)!r} ({one.kind}) is no range: {cause}", "leave it out of `tune.params`", one.path) from cause


def _value(one: Range, drawn: Any) -> Any:
    return one.values[drawn] if one.kind == "choice" else drawn
