"""The conformance kit's toy task, with real methods, real losses and a field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sere_core.config.model import Train
from sere_core.rng import derive
from sere_core.testing.toy import CLASSES, CONTOURS, DIM, WIDTH, Gated, Identity, stream, streams
from sere_core.train.fold import FoldTrainer, Listener
from sere_core.train.network import Backbone, Projection
from sere_plugins.losses.cross_entropy import CrossEntropy
from sere_plugins.methods.joint import Joint
from sere_plugins.specs.losses import CrossEntropyParams
from sere_plugins.specs.methods import JointParams
from sere_registry import BuildContext, Loss, Method, MethodContext, Place, ResonanceField, Selector, WeightedLoss
from sere_registry.protocols import completed

__all__ = ["CLASSES", "ToyAssembler", "classify", "joint", "stream", "streams", "trainer"]


class _Resolved:
    def place(self, path: str) -> Place:
        return Place(path=path)


@dataclass
class ToyAssembler:
    """Builds `recipe(context)`; every call gives the same first weights, as the engine's assembler does."""

    recipe: Any
    losses: Mapping[str, Any]
    resonance: Any = None
    seed: int = 5
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    resolved: Any = field(default_factory=_Resolved)

    def method(self) -> Any:
        def seeded(name: str, build: Any) -> Any:
            torch.manual_seed(derive(self.seed, "init", name))
            return build()

        context = BuildContext(id="", classes=CLASSES, dim=DIM, dynamics_dim=CONTOURS, input_dim=WIDTH)
        backbone = Backbone(
            {"toy": Identity()},
            {"toy": seeded("projection", lambda: Projection(WIDTH, DIM, 0.1))},
            seeded("dynamics", Gated),
            seeded("classifier", lambda: nn.Linear(context.embedding_dim, len(CLASSES))),
        )
        context = replace(context, backbone=backbone)  # type: ignore[arg-type]
        losses = {
            name: WeightedLoss(completed(seeded(name, lambda build=build: build(context)), Loss), weight, weight)
            for name, (build, weight) in self.losses.items()
        }
        made = None if self.resonance is None else completed(seeded("field", lambda: self.resonance(context)), ResonanceField)
        full = MethodContext(**vars(context), field=made, losses=losses)
        return completed(seeded("method", lambda: self.recipe(full)), Method)


def classify(context: BuildContext) -> Any:
    return CrossEntropy(CrossEntropyParams(), context)


def joint(context: MethodContext) -> Any:
    return Joint(JointParams(), context)


def trainer(
    folder: Path, assembler: ToyAssembler, *, epochs: int = 4, listener: Listener | None = None, selector: Any = None, **more: Any
) -> FoldTrainer:
    """A fold trainer over the toy streams."""

    class Last:
        keeps_last = True

    train = Train(epochs=epochs, optimizer={"params": {"lr": 1e-2}}, batch={"labelled": "all", "source": 6, "target": 6})  # type: ignore[arg-type]
    return FoldTrainer(
        index=0,
        builder=assembler,  # type: ignore[arg-type]
        streams=more.pop("streams", None) or streams(),
        train=train,
        steps=3,
        selector=completed(selector or Last(), Selector),
        path=folder / "fold-0.safetensors",
        listener=listener or Listener(),
        **more,
    )
