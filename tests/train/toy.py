"""A small task in memory: two domains of frame sequences, real methods, the real trainer; no audio, no config file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sere_core.config.model import Train
from sere_core.rng import derive
from sere_core.train.backbone import Backbone, Projection
from sere_core.train.fold import FoldTrainer, Listener
from sere_core.train.streams import Item, StreamSet
from sere_plugins.losses.cross_entropy import CrossEntropy
from sere_plugins.methods.joint import Joint
from sere_plugins.specs.losses import CrossEntropyParams
from sere_plugins.specs.methods import JointParams
from sere_registry import BuildContext, Frames, MethodContext, Place, WeightedLoss

CLASSES = ("anger", "fear", "sadness")
WIDTH, DIM, CONTOURS = 6, 8, 2


class Identity(nn.Module):
    """An encoder without a trained part."""

    input_dim = dim = WIDTH
    rate, offset = 10.0, 0.0

    def forward(self, frames: Frames) -> Frames:
        return frames


class Differences(nn.Module):
    """Dynamics with a trained gate: enough for a resonance field to have bursts."""

    dim = CONTOURS

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(DIM, CONTOURS)

    def forward(self, static: Frames, context: Frames) -> Frames:
        return Frames(torch.sigmoid(self.gate(context.values)) * static.values, context.mask, context.rate)


def stream(name: str, size: int, shift: float = 0.0, seed: int = 0) -> StreamSet:
    """`size` utterances of 3 to 9 frames whose mean tells the class; `shift` moves the domain."""
    generator = torch.Generator().manual_seed(derive(seed, "toy", name))
    items, labels = [], []
    for number in range(size):
        label = number % len(CLASSES)
        length = int(torch.randint(3, 10, (1,), generator=generator))
        centre = torch.zeros(WIDTH)
        centre[label] = 2.0
        frames = torch.randn(length, WIDTH, generator=generator) + centre + shift
        static = torch.randn(length, CONTOURS, generator=generator)
        items.append(Item(f"{name}/{number}", frames, static, frames.mean(dim=0)))
        labels.append(label)
    return StreamSet(name, "toy", tuple(items), 10.0, 10.0, labels=torch.tensor(labels) if name == "labelled" else None)


def streams() -> dict[str, StreamSet]:
    return {
        "labelled": stream("labelled", 9),
        "source": stream("source", 20),
        "target": stream("target", 22, 0.7),
        "test": stream("test", 15, 0.7),
    }


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
            seeded("dynamics", Differences),
            seeded("classifier", lambda: nn.Linear(context.embedding_dim, len(CLASSES))),
        )
        losses = {
            name: WeightedLoss(seeded(name, lambda build=build: build(context)), weight, weight)
            for name, (build, weight) in self.losses.items()
        }
        made = None if self.resonance is None else seeded("field", lambda: self.resonance(context))
        full = MethodContext(**vars(context), backbone=backbone, field=made, losses=losses)
        return seeded("method", lambda: self.recipe(full))


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
        assembler=assembler,  # type: ignore[arg-type]
        streams=more.pop("streams", None) or streams(),
        train=train,
        steps=3,
        selector=selector or Last(),
        path=folder / "fold-0.safetensors",
        listener=listener or Listener(),
        **more,
    )
