"""The kinds of component, each with its entry-point group."""

from __future__ import annotations

from typing import Literal

Kind = Literal["corpus", "encoder", "dynamics", "resonance", "loss", "method", "view", "selector", "hook", "executor"]

#: kind -> the entry-point group that announces its components
GROUPS: dict[Kind, str] = {
    "corpus": "sere.corpora",
    "encoder": "sere.encoders",
    "dynamics": "sere.dynamics",
    "resonance": "sere.resonance",
    "loss": "sere.losses",
    "method": "sere.methods",
    "view": "sere.views",
    "selector": "sere.selectors",
    "hook": "sere.hooks",
    "executor": "sere.executors",
}

#: the version of the contract between the engine and its components
API = 2

#: the namespace of the components that come with sere
FIRST_PARTY = "sere"
