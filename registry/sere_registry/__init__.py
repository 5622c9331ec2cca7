"""The contract between sere and its plugins: what a plugin author imports.  Never torch or numpy."""

from __future__ import annotations

from sere_registry.batches import Encoded, Frames, Inputs, LabelledBatch, Progress, Resonance, UnlabelledBatch, Views
from sere_registry.errors import Place, Problem, SereError, error, suggest
from sere_registry.kinds import API, GROUPS, Kind
from sere_registry.params import NoParams, Params, Part, param
from sere_registry.protocols import (
    BuildContext,
    Corpus,
    Crew,
    Dynamics,
    Encoder,
    Executor,
    MethodContext,
    ResonanceField,
    Selector,
    View,
    WorkOrder,
)
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
    "Crew",
    "Dynamics",
    "Encoded",
    "Encoder",
    "Executor",
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
    "Part",
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
    "WorkOrder",
    "error",
    "param",
    "suggest",
]
