"""A small task in memory: two domains of frame sequences and the engine's own trainer; no audio, no config file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sere_core.config.model import Train
from sere_core.rng import derive
from sere_core.train.fold import FoldTrainer, Listener
from sere_core.train.network import Backbone, Projection
from sere_core.train.streams import Item, StreamSet, ViewChains
from sere_registry import BuildContext, Frames, LabelledBatch, Loss, Method, MethodContext, Place, UnlabelledBatch, WeightedLoss
from sere_registry.protocols import ViewLevel, completed

CLASSES = ("anger", "fear", "sadness")
WIDTH, DIM, CONTOURS, TESTED = 6, 8, 2, 15


class Identity(nn.Module):
    """An encoder without a trained part."""

    input_dim = dim = WIDTH
    rate, offset = 10.0, 0.0

    def forward(self, frames: Frames) -> Frames:
        return frames


class Gated(nn.Module):
    """Dynamics with a trained gate."""

    dim = CONTOURS

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(DIM, CONTOURS)

    def forward(self, static: Frames, context: Frames) -> Frames:
        return Frames(torch.sigmoid(self.gate(context.values)) * static.values, context.mask, context.rate)

    def diagnostics(self) -> Mapping[str, float]:
        return {}


class Classify(nn.Module):
    """Cross-entropy on S_l."""

    def forward(self, labelled: LabelledBatch) -> Mapping[str, Tensor]:
        return {"classify": nn.functional.cross_entropy(labelled.logits, labelled.labels)}


class Align(nn.Module):
    """The distance of the means of S_u and T_u."""

    def forward(self, source: UnlabelledBatch, target: UnlabelledBatch) -> Mapping[str, Tensor]:
        return {"align": (source.embedding.mean(dim=0) - target.embedding.mean(dim=0)).square().sum()}


class Shift:
    """A view of frames: noise of a given size."""

    level: ViewLevel = "frames"

    def __init__(self, size: float) -> None:
        self.size = size

    def __call__(self, frames: Frames, generator: torch.Generator) -> Frames:
        noise = torch.randn(frames.values.shape, generator=generator)
        return Frames(frames.values + self.size * noise * frames.mask.unsqueeze(-1), frames.mask, frames.rate)


def stream(name: str, size: int, shift: float = 0.0) -> StreamSet:
    """`size` utterances of 3 to 9 frames whose mean tells the class; `shift` moves the domain."""
    generator = torch.Generator().manual_seed(derive(0, "toy", name))
    items, labels = [], []
    for number in range(size):
        label = number % len(CLASSES)
        length = int(torch.randint(3, 10, (1,), generator=generator))
        centre = torch.zeros(WIDTH)
        centre[label] = 2.0
        frames = torch.randn(length, WIDTH, generator=generator) + centre + shift
        items.append(Item(f"{name}/{number}", frames, torch.randn(length, CONTOURS, generator=generator), frames.mean(dim=0)))
        labels.append(label)
    return StreamSet(name, "toy", tuple(items), 10.0, torch.tensor(labels) if name == "labelled" else None, int(name in ("target", "test")))


def streams() -> dict[str, StreamSet]:
    """All four of a fold."""
    sizes = {"labelled": (9, 0.0), "source": (20, 0.0), "target": (22, 0.7), "test": (TESTED, 0.7)}
    return {name: stream(name, size, shift) for name, (size, shift) in sizes.items()}


class _Resolved:
    def place(self, path: str) -> Place:
        return Place(path=path)


@dataclass
class ToyAssembler:
    """Builds `recipe(context)`; every call gives the same first weights, as the engine's assembler does.

    Args:
        recipe: a method's factory, given its parameters.
        losses: id -> (a loss's constructor, weight).
        seed: of the fold.
    """

    recipe: Any
    losses: Mapping[str, tuple[Any, float]] = field(default_factory=dict)
    seed: int = 5
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    resolved: Any = field(default_factory=_Resolved)

    def method(self) -> Any:
        context = BuildContext(id="method", classes=CLASSES, dim=DIM, dynamics_dim=CONTOURS, input_dim=WIDTH)
        backbone = Backbone(
            {"toy": Identity()},
            {"toy": self._seeded("projection", lambda: Projection(WIDTH, DIM, 0.1))},
            self._seeded("dynamics", Gated),
            self._seeded("classifier", lambda: nn.Linear(context.embedding_dim, len(CLASSES))),
        )
        losses = {
            name: WeightedLoss(completed(self._seeded(name, build), Loss), weight, weight) for name, (build, weight) in self.losses.items()
        }
        full = MethodContext(**{**vars(context), "backbone": backbone}, field=None, losses=losses)
        return completed(self._seeded("method", lambda: self.recipe(full)), Method)

    def _seeded(self, name: str, build: Any) -> Any:
        torch.manual_seed(derive(self.seed, "init", name))
        return build()


class _Last:
    keeps_last = True

    def score(self, epoch: int) -> float:
        return float(epoch)


def trainer(
    folder: Path,
    assembler: ToyAssembler,
    *,
    epochs: int = 2,
    listener: Listener | None = None,
    streams_: Mapping[str, StreamSet] | None = None,
) -> FoldTrainer:
    """The engine's trainer of a fold, over the toy streams."""
    train = Train.model_validate(
        {"epochs": epochs, "optimizer": {"params": {"lr": 1e-2}}, "batch": {"labelled": "all", "source": 6, "target": 6}}
    )
    return FoldTrainer(
        index=0,
        builder=assembler,  # type: ignore[arg-type]
        streams=streams() if streams_ is None else streams_,
        train=train,
        steps=3,
        selector=_Last(),
        path=folder / "fold-0.safetensors",
        views=ViewChains(weak=[Shift(0.05)], strong=[Shift(0.5)]),
        listener=listener or Listener(),
    )
