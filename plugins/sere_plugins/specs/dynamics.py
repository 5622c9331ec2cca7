"""Dynamic-feature extractors: what they are called and how they are configured."""

from __future__ import annotations

from typing import Literal

from sere_plugins.specs import Declared, component
from sere_registry import param

_CITE = "arXiv:2604.07417"


class ContourParams(Declared):
    """How contours become static features; shared by every extractor that reads them."""

    unvoiced: Literal["interpolate", "zero", "hold"] = param(
        "interpolate",
        "[R] f0 where there is no voice: a straight line between voiced frames, 0, or the last voiced value",
        search=("choice", ["interpolate", "zero", "hold"]),
    )
    periodicity: float = param(0.5, "[R] CREPE's periodicity from which on a frame is voiced", ge=0, le=1, search=("uniform", 0.2, 0.8))
    f0_scale: Literal["hz", "semitone"] = param(
        "hz", "[R] f0 in hertz, or in semitones above 55 Hz, where equal steps sound equal", search=("choice", ["hz", "semitone"])
    )
    eps: float = param(1e-8, "added to the mean absolute difference (equation 1) or the standard deviation", gt=0)


_IDFE = {
    "gate": "Mean gate of each contour, 0 closed to 1 open: how much of its changes the network lets through.",
    "gate_closed": "Share of gates that are all but closed (below 0.1).",
    "gate_drift": "How far the gate's weights have moved from their start, relative to their length.",
}


@component("idfe", "dynamics.idfe:Idfe", cite=_CITE, evidence="reconstructed", tags=("sere",), diagnostics=_IDFE)
class IdfeParams(ContourParams):
    """SERE's instantaneous dynamic features: normalised frame differences of four contours, gated by the
    context.
    """

    gate: Literal["contour", "shared"] = param(
        "contour", "[R] one gate for each contour, or one for all four", search=("choice", ["contour", "shared"])
    )


@component("static", "dynamics.plain:Static", tags=("ablation",))
class StaticParams(ContourParams):
    """the four contours themselves, standardised within the utterance: no dynamics, no gate."""


@component("delta", "dynamics.plain:Delta", tags=("ablation",))
class DeltaParams(ContourParams):
    """normalised frame differences of the four contours, without IDFE's gate."""


@component("delta_delta", "dynamics.plain:DeltaDelta", tags=("ablation",))
class DeltaDeltaParams(ContourParams):
    """normalised first and second frame differences of the four contours, without a gate."""


@component("none", "dynamics.plain:NoDynamics", tags=("ablation",))
class NoneParams(Declared):
    """no dynamic features: z is the context embedding alone."""


IDFE = IdfeParams.spec
STATIC = StaticParams.spec
DELTA = DeltaParams.spec
DELTA_DELTA = DeltaDeltaParams.spec
NONE = NoneParams.spec
