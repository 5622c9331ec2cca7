"""The least engine that can run a method: a toy of two domains, a small backbone, and phases as the contract says."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from sere_registry import Frames, LabelledBatch, MethodContext, Phase, Progress, Stage, UnlabelledBatch, Views

CLASSES = ("anger", "happiness", "sadness")
SIX = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
START = Progress(0, 0, 0.0)


class TinyBackbone(nn.Module):
    """vectors `[B, F]` -> tanh layer -> embedding `[B, D]` -> logits."""

    def __init__(self, width: int = 4, dim: int = 6, classes: int = len(CLASSES)) -> None:
        super().__init__()
        self.layer = nn.Linear(width, dim)
        self.classifier = nn.Linear(dim, classes)

    def features(self) -> list[nn.Parameter]:
        return list(self.layer.parameters())

    def encode(self, vectors: Tensor, index: Tensor, labels: Tensor | None = None) -> LabelledBatch | UnlabelledBatch:
        embedding = torch.tanh(self.layer(vectors))
        return batch(embedding, self.classifier(embedding), vectors, index, labels)


def batch(
    embedding: Tensor, logits: Tensor, vectors: Tensor | None = None, index: Tensor | None = None, labels: Tensor | None = None
) -> LabelledBatch | UnlabelledBatch:
    """A batch of one frame per utterance."""
    count = len(embedding)
    parts: dict[str, Any] = {
        "frames": Frames(embedding.unsqueeze(1), torch.ones(count, 1, dtype=torch.bool), 50.0),
        "bursts": embedding.new_zeros(count, 1, 0),
        "embedding": embedding,
        "logits": logits,
        "vectors": embedding.detach() if vectors is None else vectors,
        "index": torch.arange(count) if index is None else index,
        "ids": tuple(f"u{i}" for i in range(count)),
    }
    return UnlabelledBatch(**parts) if labels is None else LabelledBatch(**parts, labels=labels)


@dataclass
class Toy:
    """Gaussian classes; the target is shifted.  `truth`, the classes of source and target, is for scoring only."""

    vectors: dict[str, Tensor]
    labels: Tensor
    truth: Tensor

    @classmethod
    def make(cls, seed: int = 0, shots: int = 5, count: int = 60, width: int = 4, shift: float = 1.0, spread: float = 0.7) -> Toy:
        generator = torch.Generator().manual_seed(seed)
        centres = 3.0 * torch.eye(len(CLASSES), width)
        labels = torch.arange(len(CLASSES)).repeat_interleave(shots)
        truth = torch.arange(count) % len(CLASSES)

        def draw(classes: Tensor) -> Tensor:
            return centres[classes] + spread * torch.randn(len(classes), width, generator=generator)

        moved = draw(truth) + shift * torch.ones(width)
        return cls({"labelled": draw(labels), "source": draw(truth), "target": moved}, labels, truth)


class Seen:
    """`StageData` over a toy; refuses streams that the stage does not see."""

    def __init__(self, toy: Toy, backbone: TinyBackbone, sees: frozenset[str]) -> None:
        self.toy, self.backbone, self.sees = toy, backbone, sees

    def vectors(self, stream: str) -> Tensor:
        assert stream in self.sees, f"the stage may not see {stream}"
        return self.toy.vectors[stream]

    def size(self, stream: str) -> int:
        return len(self.vectors(stream))

    def labels(self) -> Tensor:
        assert "labelled" in self.sees, "the stage may not see labels"
        return self.toy.labels

    @torch.no_grad()
    def encoded(self, stream: str) -> LabelledBatch | UnlabelledBatch:
        vectors = self.vectors(stream)
        return self.backbone.encode(vectors, torch.arange(len(vectors)), self.toy.labels if stream == "labelled" else None)


def context(backbone: Any = None, width: int = 4, dim: int = 6, classes: tuple[str, ...] = CLASSES, **more: Any) -> MethodContext:
    backbone = backbone or TinyBackbone(width, dim, len(classes))
    return MethodContext(id="method", classes=classes, dim=dim, input_dim=width, backbone=backbone, **more)


@dataclass
class Driver:
    """Runs an sgd stage: every phase encodes anew what its loss names, and steps only the optimizers of `trains`."""

    method: Any
    stage: Stage
    toy: Toy
    lr: float = 0.05
    size: int = 20

    def __post_init__(self) -> None:
        groups = self.method.parameters_by_group().items()
        self.optimizers = {name: torch.optim.SGD(group.parameters, lr=self.lr * group.scale) for name, group in groups}

    def run(self, first: int, last: int) -> list[dict[str, float]]:
        """Steps `first` to `last - 1` of a stage of `last` steps; the terms of each."""
        if self.stage.begin is not None:
            self.stage.begin(Seen(self.toy, self.method.backbone, self.stage.sees))
        return [self._step(step, Progress(step, 0, step / last)) for step in range(first, last)]

    def _step(self, step: int, progress: Progress) -> dict[str, float]:
        terms: dict[str, float] = {}
        for phase in self.stage.phases:
            for _ in range(phase.repeats):
                terms.update(self.phase(phase, step, progress))
        if self.stage.after_step is not None:
            self.stage.after_step(progress)
        return terms

    def phase(self, phase: Phase, step: int = 0, progress: Progress = START) -> dict[str, float]:
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        names = inspect.signature(phase.loss).parameters if phase.reads is None else phase.reads
        given: dict[str, Any] = {name: self.encode(name, step, name in phase.views) for name in names if name != "progress"}
        if "progress" in names:
            given["progress"] = progress
        terms: Mapping[str, Tensor] = phase.loss(**given)
        sum(terms.values(), start=torch.zeros(())).backward()
        for name in phase.trains:
            self.optimizers[name].step()
        return {f"{phase.name}.{name}": term.item() for name, term in terms.items()}

    def encode(self, stream: str, step: int, views: bool = False) -> LabelledBatch | UnlabelledBatch:
        assert stream in self.stage.sees, f"stage {self.stage.name} may not see {stream}"
        vectors = self.toy.vectors[stream]
        if stream == "labelled":
            return self.method.backbone.encode(vectors, torch.arange(len(vectors)), self.toy.labels)
        index = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(step))[: self.size]
        plain = self.method.backbone.encode(vectors[index], index)
        if not views:
            return plain
        noise = [torch.randn(vectors[index].shape, generator=torch.Generator().manual_seed(step + 10_000 * kind)) for kind in (1, 2)]
        weak, strong = (self.method.backbone.encode(vectors[index] + scale * noise[kind], index) for kind, scale in enumerate((0.05, 0.5)))
        return replace(plain, views=Views(weak, strong))


def solved(make: Any, toy: Toy, classes: tuple[str, ...] = CLASSES) -> tuple[Any, dict[str, list[float]]]:
    """`make(context)`, its one stage solved in closed form, and the trace."""
    width = toy.vectors["target"].shape[1]
    method = make(context(TinyBackbone(width, 6, len(classes)), width, classes=classes))
    (stage,) = method.stages()
    assert stage.solve is not None and not stage.phases
    return method, {name: list(series) for name, series in stage.solve(Seen(toy, method.backbone, stage.sees)).items()}


def posteriors(method: Any, vectors: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = method.predict(method.backbone.encode(vectors, torch.arange(len(vectors))))
    return found


def accuracy(method: Any, toy: Toy) -> float:
    """Of the predictions on the target."""
    found = posteriors(method, toy.vectors["target"])
    torch.testing.assert_close(found.sum(dim=1), torch.ones(len(found)))
    return (found.argmax(dim=1) == toy.truth).float().mean().item()


def copy_of(parameters: Any) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in parameters]


def same(before: list[Tensor], parameters: Any) -> bool:
    """Bit for bit."""
    return all(torch.equal(old, new) for old, new in zip(before, parameters, strict=True))


def rearranged(toy: Toy) -> list[tuple[Toy, list[int]]]:
    """The same with T_u in another order, and with other numbers for the three classes; with which is now which."""
    names, order = torch.tensor([2, 0, 1]), torch.randperm(len(toy.vectors["target"]), generator=torch.Generator().manual_seed(0))
    shuffled = Toy({**toy.vectors, "target": toy.vectors["target"][order]}, toy.labels, toy.truth[order])
    return [(shuffled, [0, 1, 2]), (Toy(toy.vectors, names[toy.labels], names[toy.truth]), names.tolist())]
