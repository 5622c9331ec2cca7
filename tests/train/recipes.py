"""First-party methods, losses and fields as factories for the conformance kit's toy task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sere_core.testing.toy import Toy
from sere_plugins.specs import closed_form, losses, methods, resonance, source_free, views
from sere_registry import BuildContext, ComponentSpec

Factory = Callable[[BuildContext], object]


def made(spec: ComponentSpec, **params: object) -> Factory:
    """The component with these parameters, given its context."""
    return lambda context: spec.load()(spec.params(**params), context)


classify, coral, tric, fixmatch = (made(spec) for spec in (losses.CROSS_ENTROPY, losses.CORAL, losses.TRIC, losses.FIXMATCH))
joint, irf = made(methods.JOINT), made(resonance.IRF)
CHAINS = {"weak": views.FEATURE_DROPOUT, "strong": views.FRAME_MASK}
VIEWS: Any = {kind: [made(spec)(BuildContext(kind))] for kind, spec in CHAINS.items()}


def toy(*, weight: float = 1.0, resonance: Factory | None = None, recipe: Factory = joint, seed: int = 5, **losses: Factory) -> Toy:
    """Joint training of cross-entropy and of these losses, weighted."""
    return Toy(recipe, {"classify": (classify, 1.0)} | {name: (loss, weight) for name, loss in losses.items()}, resonance, seed)


RECIPES: dict[str, Toy] = {
    "source_only": toy(),
    "coral": toy(adapt=coral),
    "tric": toy(adapt=tric, resonance=irf),
    "fixmatch": toy(adapt=fixmatch, recipe=made(methods.JOINT, ema=0.9)),
    **{spec.name: Toy(made(spec)) for spec in (methods.MCD, source_free.NRC, closed_form.JDAR)},
}
