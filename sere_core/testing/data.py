"""What checks feed to components and how they compare results: encoded batches, sounds, contours, a resonance field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_core.testing.toy import toy_network
from sere_registry import Backbone, BuildContext, Encoded, Frames, Inputs, LabelledBatch, Progress, Resonance, UnlabelledBatch, Views

Array = NDArray[np.float32]
Batch = LabelledBatch | UnlabelledBatch

CLASSES = ("anger", "fear", "sadness")
DIM = 5
HOP = 0.02
CONTOURS = ("f0", "periodicity", "rms", "mfcc2", "centroid")

# -- comparisons; NaN equals NaN: that values are finite is a check of its own ------------------------------------------


def same(first: Tensor, second: Tensor) -> bool:
    """Bit for bit."""
    return torch.equal(first.isnan(), second.isnan()) and torch.equal(first.nan_to_num(), second.nan_to_num())


def close(first: Tensor, second: Tensor, size: float | None = None) -> bool:
    """Up to rounding: relative to the larger one, 1e-8 in float64 and 1e-4 in float32 unless `size` says otherwise."""
    if first.shape != second.shape:
        return False
    wide = first.dtype == torch.float64 and second.dtype == torch.float64
    tolerance = (1e-8 if wide else 1e-4) if size is None else size
    return torch.allclose(first.double(), second.double(), rtol=tolerance, atol=tolerance, equal_nan=True)


def all_same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Bit for bit, by name."""
    return first.keys() == second.keys() and all(same(first[name], second[name]) for name in first)


def all_finite(values: Sequence[Tensor | None]) -> bool:
    """None, which stands for no gradient, is finite."""
    return all(value is None or bool(torch.isfinite(value).all()) for value in values)


def shaken(module: nn.Module, size: float = 0.01) -> nn.Module:
    """The module with other values in all that is trained."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(size * torch.rand(parameter.shape, generator=generator).to(parameter))
    return module


def check_slope(value: Callable[[], Tensor], leaves: Sequence[Tensor], what: str) -> None:
    """Assert that the derivative of a scalar along a random direction is, by central differences, what its gradient says.

    Args:
        value: works the scalar out anew, from the leaves as they are.
        leaves: tensors of float64 that ask for a gradient; moved meanwhile, and put back.
        what: of what the derivative is, for the message.
    """
    step, generator = 1e-6, torch.Generator().manual_seed(3)
    along = [torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype) for leaf in leaves]
    slopes = torch.autograd.grad(value(), list(leaves), allow_unused=True)
    found = sum(((slope * way).sum() for slope, way in zip(slopes, along, strict=True) if slope is not None), torch.zeros(()).double())
    kept = [leaf.detach().clone() for leaf in leaves]
    ends = []
    with torch.no_grad():
        for move in (step, -step, 0.0):
            for leaf, start, way in zip(leaves, kept, along, strict=True):
                leaf.copy_(start + move * way)
            ends.append(value() if move else torch.zeros(()))
    expected = (ends[0] - ends[1]) / (2 * step)
    assert close(found, expected, 1e-4), f"the derivative by {what} is {found.item():.6g}, by finite differences {expected.item():.6g}"


# -- encoded batches ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """How many utterances each stream has, how long they are at most, K, and the type of numbers."""

    labelled: int = 5
    source: int = 4
    target: int = 6
    frames: int = 7
    bursts: int = 4
    dtype: torch.dtype = torch.float64

    def context(self) -> BuildContext:
        """With a small network that encodes the `inputs` of the batches below."""
        backbone = cast(Backbone, toy_network(DIM, DIM, self.bursts, CLASSES).to(self.dtype))
        return BuildContext(
            "mine", CLASSES, dim=DIM, dynamics_dim=self.bursts, input_dim=DIM, languages=("xa", "xb"), speakers=2, backbone=backbone
        )

    def __str__(self) -> str:
        sizes = f"{self.labelled}-{self.source}-{self.target}"
        return f"{sizes},T={self.frames},K={self.bursts},{str(self.dtype).removeprefix('torch.')}"


SINGLE = Shape(labelled=1, source=1, target=1)
SHAPES = [
    Shape(),
    Shape(dtype=torch.float32),
    Shape(labelled=7, source=1, target=3, frames=1),
    Shape(labelled=3, source=6, target=2, bursts=0, dtype=torch.float32),
]


def encoded(size: int, shape: Shape, seed: int, *, labels: bool = False, padding: float = float("nan"), extra: int = 1) -> Batch:
    """A batch whose inputs, frames, bursts, embedding and logits are leaves of the graph; `extra` frames of padding in every row."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*parts: int) -> Tensor:
        return torch.randn(*parts, generator=generator, dtype=torch.float64).to(shape.dtype)

    lengths = torch.randint(1, shape.frames + 1, (size,), generator=generator)
    lengths[0] = shape.frames
    width = DIM + shape.bursts
    values, bursts, logits = draw(size, shape.frames, width), draw(size, shape.frames, shape.bursts), 6 * draw(size, len(CLASSES))
    vectors, frames, static = draw(size, DIM), draw(size, shape.frames, DIM), draw(size, shape.frames, shape.bursts)
    mask = torch.arange(shape.frames + extra) < lengths[:, None]

    def padded_frames(part: Tensor) -> Frames:
        longer = nn.functional.pad(part, (0, 0, 0, extra))
        return Frames(longer.masked_fill(~mask[..., None], padding), mask, 50.0)

    inputs = padded_frames(frames)
    inputs.values.requires_grad_()
    found = UnlabelledBatch(
        frames=replace(padded_frames(values), values=padded_frames(values).values.requires_grad_()),
        bursts=padded_frames(bursts).values.requires_grad_(),
        embedding=Frames(values, mask[:, : shape.frames], 50.0).mean().requires_grad_(),
        logits=logits.requires_grad_(),
        vectors=vectors,
        index=torch.arange(size),
        ids=tuple(f"u{row}" for row in range(size)),
        speaker=torch.arange(size) % 2,
        inputs=Inputs("toy", inputs, padded_frames(static)),
    )
    return LabelledBatch(**vars(found), labels=torch.arange(size) % len(CLASSES)) if labels else found


def streams(
    shape: Shape, *, views: frozenset[str] = frozenset(), padding: float = 0.0, extra: int = 1
) -> dict[str, Batch | nn.Module | Progress]:
    """All that a loss may read; the streams in `views` with their two views."""
    made: dict[str, Batch] = {}
    for seed, (name, size) in enumerate((("labelled", shape.labelled), ("source", shape.source), ("target", shape.target))):
        batch, *sides = (
            replace(found, domain=found.domain + int(name == "target"))
            for found in (encoded(size, shape, 10 * seed + n, labels=name == "labelled", padding=padding, extra=extra) for n in range(3))
        )
        made[name] = replace(batch, views=Views(*sides)) if name in views else batch
    return {**made, "support": made["labelled"], "field": SoftField().to(shape.dtype), "progress": Progress(3, 1, 0.5)}


def leaves(batch: Batch) -> dict[str, Tensor]:
    """What a gradient may reach, of the batch and of its views."""
    own = _own_leaves(batch)
    for name, view in vars(batch.views or {}).items() if batch.views else ():
        own |= {f"{name}.{key}": value for key, value in _own_leaves(view).items()}
    return own


def _own_leaves(batch: Encoded) -> dict[str, Tensor]:
    own = {"frames": batch.frames.values, "bursts": batch.bursts, "embedding": batch.embedding, "logits": batch.logits}
    return own if batch.inputs is None else {**own, "inputs": batch.inputs.frames.values}  # of a loss that encodes again


class SoftField(nn.Module):
    """A smooth resonance field: each frame of a attends to b's by softmax; S is the mean cosine of frames and what they attend to."""

    directed = True

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(1.0))

    def similarity(self, a: Encoded, b: Encoded) -> Tensor:
        """S of every pair, `[A, B]`."""
        with torch.no_grad():
            rows, partners = torch.arange(len(a)).repeat_interleave(len(b)), torch.arange(len(b)).repeat(len(a))
            return self._pairs(a, rows, b, partners)[0].view(len(a), len(b))

    def aligned(self, a: Encoded, b: Encoded, picks: Tensor | None = None, *, both: bool = False) -> Resonance:
        """Row i of a with row `picks[i]` of b."""
        rows = torch.arange(len(a))
        partners = rows if picks is None else picks
        return Resonance(*self._pairs(a, rows, b, partners), self._pairs(b, partners, a, rows)[1] if both else None)

    def _pairs(self, a: Encoded, rows: Tensor, b: Encoded, partners: Tensor) -> tuple[Tensor, Tensor]:
        """S of P pairs, `[P]`, and what the first of each attends to, its mean over frames, `[P, F]`."""
        inside, there = a.frames.mask[rows], b.frames.mask[partners]
        left = a.frames.values[rows].masked_fill(~inside.unsqueeze(2), 0.0)
        right = b.frames.values[partners].masked_fill(~there.unsqueeze(2), 0.0)
        attended = (self.sharpness * left @ right.mT).masked_fill(~there.unsqueeze(1), -torch.inf).softmax(dim=2) @ right
        share = inside.to(left) / inside.sum(dim=1, keepdim=True)
        return (share * torch.cosine_similarity(left, attended, dim=2)).sum(dim=1), (share.unsqueeze(2) * attended).sum(dim=1)


# -- sounds, contours and padded frames ---------------------------------------------------------------------------------


def waves() -> list[Array]:
    """Half a second, a third of one, and one sample, at 16 kHz."""
    rng = np.random.default_rng(0)
    return [rng.normal(0.01, 0.1, count).astype(np.float32) for count in (8000, 5003, 1)]


def contours(length: int, seed: int = 0) -> dict[str, Array]:
    """Speech-like: f0 with unvoiced stretches, where it is NaN."""
    rng = np.random.default_rng(seed)
    voiced = rng.random(length)
    made = {
        "f0": np.where(voiced > 0.5, 120 + 60 * rng.random(length), np.nan),
        "periodicity": voiced,
        "rms": rng.random(length),
        "mfcc2": rng.normal(size=length),
        "centroid": 900 + 500 * rng.random(length),
    }
    return {name: values.astype(np.float32) for name, values in made.items()}


def flat(value: float, length: int = 6, voiced: float = 0.0) -> dict[str, Array]:
    """Contours that do not move."""
    return {name: np.full(length, voiced if name == "periodicity" else value, np.float32) for name in CONTOURS}


def padded(rows: Sequence[Tensor], padding: float = 0.0, extra: int = 0, rate: float = 50.0) -> Frames:
    """Sequences `[T_i, F]` as a batch, `padding` in their padded frames, `extra` of them in every row."""
    length = max(map(len, rows)) + extra
    values = torch.stack([torch.cat([row, row.new_full((length - len(row), row.shape[1]), padding)]) for row in rows])
    return Frames(values, torch.arange(length) < torch.tensor([len(row) for row in rows])[:, None], rate)
