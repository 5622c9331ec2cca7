"""Encoded batches drawn at random, with whatever a check wants in their padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from sere_core.train.network import Backbone, Projection
from sere_registry import BuildContext, Dynamics, Encoded, Frames, Inputs, LabelledBatch, Progress, UnlabelledBatch, Views

CLASSES = ("anger", "fear", "sadness")
DIM = 5


class _AsTheyAre(nn.Module):
    """Dynamics: the contours are the bursts."""

    def forward(self, static: Frames, context: Frames) -> Frames:
        return replace(static, values=static.values.masked_fill(~static.mask[..., None], 0.0))

    def diagnostics(self) -> Mapping[str, float]:
        return {}


@dataclass(frozen=True)
class Shape:
    """How many utterances each stream has, how long they are at most, K, and the type of numbers."""

    labelled: int = 5
    source: int = 4
    target: int = 6
    frames: int = 7
    bursts: int = 4
    dtype: torch.dtype = torch.float64

    @property
    def context(self) -> BuildContext:
        """With a network of the engine that encodes the `inputs` of the batches; the same weights every time."""
        context = BuildContext("mine", classes=CLASSES, dim=DIM, dynamics_dim=self.bursts, input_dim=DIM)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            classifier = nn.Linear(context.embedding_dim, len(CLASSES))
            dynamics = cast(Dynamics, _AsTheyAre())
            network = Backbone({"mine": nn.Identity()}, {"mine": Projection(DIM, DIM, 0.0)}, dynamics, classifier)
        return replace(context, backbone=network.to(self.dtype))  # type: ignore[arg-type]

    def __str__(self) -> str:
        sizes = f"{self.labelled}-{self.source}-{self.target}"
        return f"{sizes},T={self.frames},K={self.bursts},{str(self.dtype).removeprefix('torch.')}"


SHAPES = [
    Shape(),
    Shape(dtype=torch.float32),
    Shape(labelled=1, source=1, target=1),
    Shape(labelled=7, source=1, target=3, frames=1),
    Shape(labelled=3, source=6, target=2, bursts=0, dtype=torch.float32),
]


def encoded(size: int, shape: Shape, seed: int, *, labels: bool = False, padding: float = float("nan"), extra: int = 1) -> Any:
    """A batch whose frames, bursts, embedding and logits are leaves of the graph; `extra` frames of padding in every row."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*parts: int) -> Tensor:
        return torch.randn(*parts, generator=generator, dtype=torch.float64).to(shape.dtype)

    lengths = torch.randint(1, shape.frames + 1, (size,), generator=generator)
    lengths[0] = shape.frames
    width = DIM + shape.bursts
    values, bursts, logits = draw(size, shape.frames, width), draw(size, shape.frames, shape.bursts), 6 * draw(size, len(CLASSES))
    outside = torch.arange(shape.frames + extra) >= lengths[:, None]
    values, bursts = (torch.nn.functional.pad(part, (0, 0, 0, extra)) for part in (values, bursts))
    embedding = Frames(values, ~outside, 50.0).mean()
    filled = [part.masked_fill(outside[..., None], padding).requires_grad_() for part in (values, bursts)]
    given: dict[str, Any] = {
        "frames": Frames(filled[0], ~outside, 50.0),
        "bursts": filled[1],
        "embedding": embedding.requires_grad_(),
        "logits": logits.requires_grad_(),
        "vectors": draw(size, DIM),
        "index": torch.arange(size),
        "ids": tuple(f"u{row}" for row in range(size)),
    }
    raw = (torch.nn.functional.pad(draw(size, shape.frames, width), (0, 0, 0, extra)) for width in (DIM, shape.bursts))
    given["inputs"] = Inputs("mine", *(Frames(part.masked_fill(outside[..., None], padding), ~outside, 50.0) for part in raw))
    if labels:
        return LabelledBatch(**given, labels=torch.arange(size) % len(CLASSES))
    return UnlabelledBatch(**given)


def streams(shape: Shape, *, views: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """labelled, support, source and target, each with its two views where asked for."""
    made: dict[str, Any] = {}
    for seed, (name, size) in enumerate((("labelled", shape.labelled), ("source", shape.source), ("target", shape.target))):
        batch = encoded(size, shape, 10 * seed, labels=name == "labelled", **more)
        if name in views:
            sides = [encoded(size, shape, 10 * seed + side, labels=name == "labelled", **more) for side in (1, 2)]
            batch = replace(batch, views=Views(*sides))
        made[name] = batch
    return {**made, "support": made["labelled"], "progress": Progress(step=3, epoch=1, fraction=0.5)}


def leaves(batch: Encoded) -> Mapping[str, Tensor]:
    """What a gradient may reach, of the batch and of its views."""
    own = {"frames": batch.frames.values, "bursts": batch.bursts, "embedding": batch.embedding, "logits": batch.logits}
    views = getattr(batch, "views", None)
    if views is not None:
        own |= {f"{name}.{key}": value for name in ("weak", "strong") for key, value in leaves(getattr(views, name)).items()}
    return own
