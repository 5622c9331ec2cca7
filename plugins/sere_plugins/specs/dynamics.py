"""Dynamic-feature extractors: what they are called and how they are configured."""

from __future__ import annotations

from typing import Literal

from sere_registry import ComponentSpec, Params, param

_CITE = "arXiv:2604.07417"


class ContourParams(Params):
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


class IdfeParams(ContourParams):
    gate: Literal["contour", "shared"] = param(
        "contour", "[R] one gate for each contour, or one for all four", search=("choice", ["contour", "shared"])
    )


IDFE = ComponentSpec(
    kind="dynamics",
    name="idfe",
    factory="sere_plugins.dynamics.idfe:Idfe",
    params=IdfeParams,
    summary="SERE's instantaneous dynamic features: normalised frame differences of four contours, gated by the context",
    cite=_CITE,
    evidence="reconstructed",
    tags=("sere",),
)

STATIC = ComponentSpec(
    kind="dynamics",
    name="static",
    factory="sere_plugins.dynamics.plain:Static",
    params=ContourParams,
    summary="the four contours themselves, standardised within the utterance: no dynamics, no gate",
    tags=("ablation",),
)

DELTA = ComponentSpec(
    kind="dynamics",
    name="delta",
    factory="sere_plugins.dynamics.plain:Delta",
    params=ContourParams,
    summary="normalised frame differences of the four contours, without IDFE's gate",
    tags=("ablation",),
)

DELTA_DELTA = ComponentSpec(
    kind="dynamics",
    name="delta_delta",
    factory="sere_plugins.dynamics.plain:DeltaDelta",
    params=ContourParams,
    summary="normalised first and second frame differences of the four contours, without a gate",
    tags=("ablation",),
)

NONE = ComponentSpec(
    kind="dynamics",
    name="none",
    factory="sere_plugins.dynamics.plain:NoDynamics",
    summary="no dynamic features: z is the context embedding alone",
    tags=("ablation",),
)
