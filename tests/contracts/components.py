"""Every component that sere announces, and the parameter values that its contract is run with.

The values come from the declaration: the defaults, then one parameter at a time at each of its choices and bounds.  So a new
component, a new choice or a new bound is run without a line here; only what cannot be derived stands in a table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, get_args, get_origin

import pytest
import torch

from sere_registry import BuildContext, Kind
from sere_registry.catalog import Catalog
from sere_registry.entries import Entry
from sere_registry.kinds import FIRST_PARTY
from sere_registry.spec import ComponentSpec

#: (component, parameter, value as JSON) -> what else must be set for this value to mean anything
COMPANIONS: dict[tuple[str, str, str], dict[str, Any]] = {
    ("encoder", "train", '"top"'): {"top_layers": 1},
    ("encoder", "train_cnn", "true"): {"train": "all"},
    ("encoder", "context", '"real"'): {"train": "top", "top_layers": 1},
    ("encoder", "top_layers", "1"): {"train": "top"},
}
#: values that are reached in no other way: several parameters at once, or one between its bounds
EXTRA: dict[str, list[dict[str, Any]]] = {
    "sere.tric": [{"distance": "euclidean", "squared": False}, {"dual_weight": 0.0, "prototype_weight": 0.0}],
    "sere.irf": [{"sync": "exp_square", "combine": "sum"}, {"burst": "signed", "highlight": "top_quantile"}],
    "sere.joint": [{"ema": 0.9}],
    "sere.mcd": [{"class_balance": 0.01}],
    "sere.frame_mask": [{"fill": "mean", "time_share": 0.9, "feature_share": 0.9}],
    "sere.feature_dropout": [{"share": 0.9}],
    "sere.wav2vec2": [{"layer": "mix"}, {"layer": 0}],
    "sere.hubert": [{"layer": "mix"}],
    "sere.wavlm": [{"layer": "mix"}],
    "sere.whisper": [{"layer": "mix"}, {"context": "real", "train": "all"}],
}


@dataclass(frozen=True)
class Case:
    """A component and the parameter values of one contract run."""

    entry: Entry = field(repr=False)
    values: Mapping[str, Any]

    @property
    def spec(self) -> ComponentSpec:
        return self.entry.spec

    @property
    def name(self) -> str:
        return self.entry.full_name

    @property
    def variant(self) -> str:
        return ",".join(f"{key}={value}" for key, value in self.values.items())

    def build(self, context: BuildContext | None = None, *, seed: int = 0, **more: Any) -> Any:
        """The component, built as a run builds it; `more` are values that a test must supply, such as a folder."""
        torch.manual_seed(seed)
        return self.spec.load()(self.spec.params(**{**more, **self.values}), context or BuildContext("mine"))


@cache
def entries(kind: Kind | None = None) -> list[Entry]:
    """All of sere's own components, loaded."""
    catalog = Catalog(environ={})
    found = [entry for entry in catalog.entries if entry.distribution == FIRST_PARTY and kind in (None, entry.kind)]
    return [catalog.find(entry.kind, entry.full_name) for entry in found]


def cases(kind: Kind) -> list[Any]:
    """The contract runs of a kind, as pytest parameters."""
    made = [Case(entry, values) for entry in entries(kind) for values in variants(entry)]
    return [pytest.param(case, id=f"{case.spec.name}[{case.variant}]") for case in made]


def defaults(kind: Kind) -> list[Any]:
    """One run of each component of a kind, with its defaults."""
    return [pytest.param(Case(entry, {}), id=entry.short_name) for entry in entries(kind)]


def variants(entry: Entry) -> list[dict[str, Any]]:
    """The defaults, each choice and bound of each parameter, and what `EXTRA` adds."""
    found: list[dict[str, Any]] = [{}]
    for name, about in entry.spec.params.model_fields.items():
        for value in alternatives(about):
            made = {name: value, **companions(entry, name, value)}
            if value != about.default and made not in found:
                found.append(made)
    return found + EXTRA.get(entry.full_name, [])


def companions(entry: Entry, name: str, value: Any) -> dict[str, Any]:
    """What else must be set for this value to be allowed: of a range from `low` to `high`, the other end."""
    fields = entry.spec.params.model_fields
    if name == "low" and value > fields["high"].default:
        return {"high": value}
    if name == "high" and value < fields["low"].default:
        return {"low": value}
    return COMPANIONS.get((entry.kind, name, json.dumps(value)), {})


def alternatives(about: Any) -> Iterator[Any]:
    """A parameter's other values: every choice, both booleans, and its closed bounds."""
    if get_origin(about.annotation) is Literal:
        yield from get_args(about.annotation)
    elif about.annotation is bool:
        yield from (True, False)
    elif about.annotation in (int, float):
        for bound in about.metadata:
            for name in ("ge", "le"):
                if getattr(bound, name, None) is not None:
                    yield about.annotation(getattr(bound, name))
