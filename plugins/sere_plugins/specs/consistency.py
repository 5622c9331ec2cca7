"""Losses and methods that compare two views of an utterance: what they are called and how they are configured."""

from __future__ import annotations

from typing import Literal

from sere_plugins.specs import Declared, component
from sere_registry import param


@component(
    "pi_model",
    "losses.mean_teacher:PiModel",
    cite="arXiv:1610.02242",
    tags=("consistency",),
    diagnostics={"agreement": "Share of the last batch that is put into the same class on both views."},
)
class PiModelParams(Declared):
    """the Pi-model: on one view of T_u the network agrees with itself on the other."""

    ramp: float = param(
        0.4, "share of the stage over which the weight rises, as in `mean_teacher`", gt=0, le=1, search=("uniform", 0.1, 1.0)
    )
    student: Literal["weak", "strong"] = param("strong", "the view that learns; the other teaches, without gradient")
    use_source: bool = param(False, "agree on S_u too; false: on T_u alone")


PI_MODEL = PiModelParams.spec
