"""The contract between sere and its plugins: what a plugin author imports.

Importing it costs nothing: each name is imported from its module when it is first used, so that a spec, which needs
`ComponentSpec` and `Params`, does not pay for the batches and protocols that its component needs.  Never torch or numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sere_registry.batches import Encoded, Frames, Inputs, LabelledBatch, Progress, Resonance, UnlabelledBatch, Views
    from sere_registry.errors import Place, Problem, SereError, error, suggest
    from sere_registry.kinds import API, GROUPS, Kind
    from sere_registry.params import NoParams, Params, param
    from sere_registry.protocols import BuildContext, Corpus, Dynamics, Encoder, MethodContext, ResonanceField, Selector, View
    from sere_registry.spec import ComponentSpec
    from sere_registry.training import Backbone, Group, Loss, Method, Phase, Schedule, Stage, StageData, WeightedLoss
    from sere_registry.utterances import Finding, Recording, Utterance

__all__ = [
    "API",
    "GROUPS",
    "Backbone",
    "BuildContext",
    "ComponentSpec",
    "Corpus",
    "Dynamics",
    "Encoded",
    "Encoder",
    "Finding",
    "Frames",
    "Group",
    "Inputs",
    "Kind",
    "LabelledBatch",
    "Loss",
    "Method",
    "MethodContext",
    "NoParams",
    "Params",
    "Phase",
    "Place",
    "Problem",
    "Progress",
    "Recording",
    "Resonance",
    "ResonanceField",
    "Schedule",
    "Selector",
    "SereError",
    "Stage",
    "StageData",
    "UnlabelledBatch",
    "Utterance",
    "View",
    "Views",
    "WeightedLoss",
    "error",
    "param",
    "suggest",
]

#: module -> the names above that it defines
_MODULES = {
    "batches": "Encoded Frames Inputs LabelledBatch Progress Resonance UnlabelledBatch Views",
    "errors": "Place Problem SereError error suggest",
    "kinds": "API GROUPS Kind",
    "params": "NoParams Params param",
    "protocols": "BuildContext Corpus Dynamics Encoder MethodContext ResonanceField Selector View",
    "spec": "ComponentSpec",
    "training": "Backbone Group Loss Method Phase Schedule Stage StageData WeightedLoss",
    "utterances": "Finding Recording Utterance",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # the next use finds it at once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
