"""A small task in memory: two domains of frame sequences and the engine's own trainer; no audio, no config file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_core.config import Resolved
from sere_core.config.model import Train
from sere_core.rng import derive, reseed
from sere_core.train.build import Builder
from sere_core.train.fold import FoldTrainer, Listener
from sere_core.train.network import Backbone, Projection
from sere_core.train.streams import Item, StreamSet, ViewChains, read
from sere_registry import (
    BuildContext,
    Frames,
    LabelledBatch,
    Loss,
    Method,
    MethodContext,
    NoParams,
    Place,
    ResonanceField,
    Selector,
    UnlabelledBatch,
    WeightedLoss,
)
from sere_registry.protocols import ViewLevel, completed

T = TypeVar("T")
Array = NDArray[np.float32]
CLASSES = ("anger", "fear", "sadness")
WIDTH, DIM, CONTOURS, TESTED = 6, 8, 2, 15
#: two more encoders, with the widths of their frames: where there are three paths, S_l takes "toy", S_u "second", T_u and T_e "third"
MORE = {"second": 5, "third": 7}
CPU = torch.device("cpu")


class Identity(nn.Module):
    """An encoder without a trained part."""

    def forward(self, frames: Frames) -> Frames:
        return frames


class Gated(nn.Module):
    """Dynamics with a trained gate."""

    def __init__(self, dim: int, contours: int) -> None:
        super().__init__()
        self.dim, self.gate = contours, nn.Parameter(0.3 * torch.randn(contours, dim))

    def forward(self, static: Frames, context: Frames) -> Frames:
        inside = context.mask.unsqueeze(-1)
        gated = torch.sigmoid(context.values @ self.gate.T) * static.values.masked_fill(~inside, 0.0)
        return Frames(gated, context.mask, context.rate)

    def diagnostics(self) -> Mapping[str, float]:
        return {}


def toy_network(
    width: int,
    dim: int,
    contours: int,
    classes: Sequence[str],
    *,
    dropout: float = 0.0,
    seed: int = 5,
    more: Mapping[str, int] | None = None,
) -> Backbone:
    """The engine's network, which encodes `inputs` of the path "toy": frames `[B, T, width]`, static contours `[B, T, contours]`.

    Args:
        more: other paths, with the widths of their frames.
    """
    widths = {"toy": width, **(more or {})}
    return Backbone(
        {path: Identity() for path in widths},
        {path: seeded(seed, "projection", lambda w=w: Projection(w, dim, dropout)) for path, w in widths.items()},  # type: ignore[misc]
        cast(nn.Module, seeded(seed, "dynamics", lambda: Gated(dim, contours))),  # type: ignore[arg-type]
        seeded(seed, "classifier", lambda: nn.Linear(dim + contours, len(classes))),
    )


class Raw(nn.Module):
    """An encoder that reads samples, so that views of the waveform have something to alter: 16 kHz -> 50 frames a second."""

    input_dim, dim = 1, 4
    rate, offset = 50.0, 0.0
    contours: tuple[()] = ()
    normalise = False
    step = 320

    def __init__(self, params: NoParams, context: BuildContext) -> None:
        super().__init__()
        self.layer = nn.Conv1d(1, self.dim, self.step, stride=self.step)

    def fingerprint(self) -> Mapping[str, object]:
        return {}

    def extract(self, waveform: Array, contours: Mapping[str, Array], hop: float) -> Array:
        return waveform[:, None]

    def lengths(self, lengths: Tensor) -> Tensor:
        return (lengths + self.step - 1) // self.step

    def forward(self, frames: Frames) -> Frames:
        whole = frames.values.masked_fill(~frames.mask.unsqueeze(-1), 0.0).transpose(1, 2)
        values = self.layer(nn.functional.pad(whole, (0, -whole.shape[2] % self.step))).transpose(1, 2)
        return Frames(values, frames.mask[:, :: self.step], self.rate)


def seeded(seed: int, name: str, build: Callable[[], T]) -> T:
    """What `build` makes, its first weights drawn under a seed of its own."""
    reseed(seed, "init", name)
    return build()


class Classify(nn.Module):
    """Cross-entropy on S_l."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__()

    def forward(self, labelled: LabelledBatch) -> Mapping[str, Tensor]:
        return {"classify": nn.functional.cross_entropy(labelled.logits, labelled.labels)}


class Align(nn.Module):
    """The distance of the means of S_u and T_u."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__()

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


class Last:
    """Keeps the last epoch."""

    keeps_last = True

    def score(self, epoch: int) -> float:
        return float(epoch)


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
        contours, domain = torch.randn(length, CONTOURS, generator=generator), int(name in ("target", "test"))
        items.append(Item(f"{name}/{number}", frames, contours, frames.mean(dim=0), domain=domain))
        labels.append(label)
    return StreamSet(name, "toy", tuple(items), 10.0, torch.tensor(labels) if name in ("labelled", "validation") else None)


def streams() -> dict[str, StreamSet]:
    """All four of a fold."""
    sizes = {"labelled": (9, 0.0), "source": (20, 0.0), "target": (22, 0.7), "test": (TESTED, 0.7)}
    return {name: stream(name, size, shift) for name, (size, shift) in sizes.items()}


def on_three_paths() -> dict[str, StreamSet]:
    """The same, as three encoders read them: S_l through each, S_u also through the target's, whose means make all `vectors`.

    A linear map to more dimensions alone would leave their covariance singular.
    """
    maps = {path: torch.randn(WIDTH, width, generator=torch.Generator().manual_seed(width)) for path, width in MORE.items()}

    def through(made: StreamSet, path: str) -> StreamSet:
        known = [(item, read(item.frames)) for item in made.items]
        linear = maps.get(path, torch.eye(WIDTH))
        items = [replace(item, frames=frames @ linear, vector=(frames.mean(dim=0) @ maps["third"]).asinh()) for item, frames in known]
        return replace(made, path=path, items=tuple(items))

    own = {"labelled": "toy", "source": "second", "target": "third", "test": "third"}
    found = {name: through(made, own[name]) for name, made in streams().items()}
    given = streams()
    labelled = replace(found["labelled"], others=tuple(through(given["labelled"], path) for path in MORE))
    return {**found, "labelled": labelled, "source": replace(found["source"], others=(through(given["source"], "third"),))}


class _Resolved:
    def place(self, path: str) -> Place:
        return Place(path=path)


@dataclass
class Toy:
    """Builds `recipe(context)` as the engine's `Builder` does; every call gives the same first weights.

    Args:
        recipe: a method's factory, given its parameters.
        losses: id -> (a loss's factory, given its parameters, and its weight).
        resonance: a field's.
        seed: of the fold.
        paths: does it know the encoders of `on_three_paths`?
    """

    recipe: Callable[[MethodContext], object]
    losses: Mapping[str, tuple[Callable[[BuildContext], object], float]] = field(default_factory=dict)
    resonance: Callable[[BuildContext], object] | None = None
    seed: int = 5
    paths: bool = False
    device: torch.device = CPU
    resolved: Resolved = field(default_factory=lambda: cast(Resolved, _Resolved()))

    def method(self) -> Method:
        """A new method with a new network, losses and field."""
        network = toy_network(WIDTH, DIM, CONTOURS, CLASSES, dropout=0.1, seed=self.seed, more=MORE if self.paths else {})
        width = MORE["third"] if self.paths else WIDTH
        context = BuildContext(id="", classes=CLASSES, dim=DIM, dynamics_dim=CONTOURS, input_dim=width, backbone=network)  # type: ignore[arg-type]
        losses = {
            name: WeightedLoss(completed(cast(Loss, seeded(self.seed, name, lambda build=build: build(context))), Loss), weight, weight)  # type: ignore[misc]
            for name, (build, weight) in self.losses.items()
        }
        made = None
        if self.resonance is not None:
            made = completed(cast(ResonanceField, seeded(self.seed, "field", lambda: self.resonance(context))), ResonanceField)  # type: ignore[misc]
        full = MethodContext(**vars(context), field=made, losses=losses)
        return completed(cast(Method, seeded(self.seed, "method", lambda: self.recipe(full))), Method)

    def trainer(
        self,
        folder: Path,
        *,
        epochs: int = 4,
        listener: Listener | None = None,
        streams_: Mapping[str, StreamSet] | None = None,
        selector: object = None,
        views: ViewChains | None = None,
        **train: object,
    ) -> FoldTrainer:
        """The engine's trainer of a fold, by default of three steps an epoch, over the toy streams; `train` replaces keys of the config."""
        section = {"epochs": epochs, "optimizer": {"params": {"lr": 1e-2}}, "batch": {"labelled": "all", "source": 6, "target": 6}}
        made = Train.model_validate({**section, **train})
        return FoldTrainer(
            index=0,
            builder=cast(Builder, self),
            streams=streams_ or (on_three_paths() if self.paths else streams()),
            train=made,
            steps=made.steps_per_epoch or 3,
            selector=completed(cast(Selector, selector or Last()), Selector),
            path=folder / "fold-0.safetensors",
            views=views or {"weak": [Shift(0.05)], "strong": [Shift(0.5)]},
            listener=listener or Listener(),
        )
