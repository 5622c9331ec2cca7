"""Builds a method from a config: encoders, projections, dynamics, classifier, resonance field, losses, recipe.

Each part is initialised under a seed of its own, named by its place in the config, so that adding a loss changes no
other part's first weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn

from sere_core.config import Resolved
from sere_core.config.model import LossBlock, Ramp
from sere_core.rng import derive
from sere_core.train.backbone import Backbone, Projection
from sere_core.train.promises import keep_to
from sere_core.train.seeding import reseed
from sere_registry import BuildContext, MethodContext, WeightedLoss, error

T = TypeVar("T")

#: called with (kind, id, full name) of each component built
Built = Callable[[str, str, str], None]


@dataclass(frozen=True)
class Assembler:
    """Makes new instances of the config's method; every call gives the same first weights.

    Args:
        resolved: the checked config.
        classes: the shared classes.
        input_dim: the width of the target path's frozen output.
        seed: of the fold.
        paths: the encoder ids in use.
        built: told of each component.
    """

    resolved: Resolved
    classes: tuple[str, ...]
    input_dim: int
    seed: int
    paths: tuple[str, ...]
    device: torch.device
    built: Built = lambda kind, id, name: None

    def method(self) -> Any:
        """A new method on the device.

        Raises:
            SereError: B401 where a factory fails, B403 where what it returns is not a component of its kind.
        """
        config = self.resolved.config
        encoders = {name: self._component(f"encoders.{name}", "encoder", BuildContext(id=name)) for name in self.paths}
        dynamics = self._component("dynamics", "dynamics", BuildContext(id="dynamics", dim=config.network.dim))
        context = BuildContext(id="", classes=self.classes, dim=config.network.dim, dynamics_dim=dynamics.dim, input_dim=self.input_dim)
        projections = {
            name: self._seeded(f"projection.{name}", partial(Projection, encoder.dim, config.network.dim, config.network.dropout))
            for name, encoder in encoders.items()
        }
        classifier = self._seeded("classifier", lambda: nn.Linear(context.embedding_dim, len(self.classes)))
        backbone = Backbone(encoders, projections, dynamics, classifier)
        field = None if config.resonance is None else self._component("resonance", "resonance", _named(context, "resonance"))
        losses = {
            name: _weighted(self._component(f"losses.{name}", "loss", _named(context, name)), block)
            for name, block in config.losses.items()
        }
        full = MethodContext(**vars(_named(context, "method")), backbone=backbone, field=field, losses=losses)
        method = self._component("method", "method", full)
        return method.to(self.device)

    def _component(self, path: str, kind: str, context: BuildContext) -> Any:
        bound = self.resolved.components[path]
        component = self._seeded(path, lambda: bound.build(context))
        if not isinstance(component, nn.Module):
            raise error(
                "B403",
                f"{kind} '{bound.full_name}' of {bound.owner} builds a {type(component).__name__}, not a torch.nn.Module",
                f"this is for the author of {bound.distribution}",
                self.resolved.place(path),
            )
        if kind == "loss":
            keep_to(component, bound, self.resolved.place(path))
        self.built(kind, context.id, bound.full_name)
        return component

    def _seeded(self, name: str, build: Callable[[], T]) -> T:
        reseed(derive(self.seed, "init", name))
        return build()


def _named(context: BuildContext, name: str) -> BuildContext:
    return BuildContext(**{**vars(context), "id": name})


def _weighted(loss: Any, block: LossBlock) -> WeightedLoss:
    weight = block.weight
    if isinstance(weight, Ramp):
        return WeightedLoss(loss, weight.start, weight.end, weight.until)
    return WeightedLoss(loss, weight, weight)
