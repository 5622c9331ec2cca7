"""The contract between sere and its plugins: what a plugin author imports.

Importing it costs milliseconds: pydantic, packaging and pluggy at most, never torch or numpy.
"""

from sere_registry.batches import Encoded, Frames, LabelledBatch, Progress, Resonance, UnlabelledBatch, Views
from sere_registry.errors import Place, Problem, SereError, error, suggest
from sere_registry.kinds import API, GROUPS, Kind
from sere_registry.params import NoParams, Params, param
from sere_registry.protocols import (
    BuildContext,
    Corpus,
    Dynamics,
    Encoder,
    Group,
    Loss,
    Method,
    MethodContext,
    Phase,
    ResonanceField,
    Selector,
    Stage,
    StageData,
    View,
    WeightedLoss,
)
from sere_registry.spec import ComponentSpec
from sere_registry.utterances import Finding, Recording, Utterance

__all__ = [
    "API",
    "GROUPS",
    "BuildContext",
    "ComponentSpec",
    "Corpus",
    "Dynamics",
    "Encoded",
    "Encoder",
    "Finding",
    "Frames",
    "Group",
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
