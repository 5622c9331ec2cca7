"""Encoded batches built by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sere_registry import BuildContext, Frames, LabelledBatch, Resonance, UnlabelledBatch

Utterance = tuple[Tensor, Tensor]
WIDTH, BURSTS = 6, 4
CLASSES = ("anger", "fear", "sadness")
#: of a field, and of a loss on it
CONTEXT = BuildContext(id="adapt", classes=CLASSES, dim=WIDTH - BURSTS, dynamics_dim=BURSTS)
#: of four labelled utterances
LABELS = [2, 0, 1, 0]


def utterances(lengths: Sequence[int], seed: int, dtype: torch.dtype = torch.float64, width: int = WIDTH) -> list[Utterance]:
    """(z, d) of each length: leaves of the graph."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    return [(draw(length, width), draw(length, BURSTS)) for length in lengths]


def batch(
    parts: Sequence[Utterance],
    labels: Sequence[int] | None = None,
    padding: float = 0.0,
    extra: int = 1,
    classes: int = 3,
    gaps: bool = False,
) -> Any:
    """The utterances as one batch, a LabelledBatch if there are labels, with `padding` wherever no real frame stands.

    With `gaps` that is also before each real frame.  Gradients flow to the parts.
    """
    every = 2 if gaps else 1
    frames = every * max((len(z) for z, _ in parts), default=0) + extra
    dtype = parts[0][0].dtype if parts else torch.float64
    width = parts[0][0].shape[1] if parts else WIDTH

    def pad(rows: Tensor) -> Tensor:
        if gaps:
            rows = torch.stack([torch.full_like(rows, padding), rows], dim=1).flatten(0, 1)
        return torch.cat([rows, rows.new_full((frames - len(rows), rows.shape[1]), padding)])

    values = torch.stack([pad(z) for z, _ in parts]) if parts else torch.zeros(0, frames, width, dtype=dtype)
    bursts = torch.stack([pad(d) for _, d in parts]) if parts else torch.zeros(0, frames, BURSTS, dtype=dtype)
    lengths = torch.tensor([len(z) for z, _ in parts], dtype=torch.long)
    mask = (torch.arange(frames) < every * lengths.unsqueeze(1)) & (torch.arange(frames) % every == every - 1)
    embedding = torch.stack([z.mean(dim=0) for z, _ in parts]) if parts else torch.zeros(0, width, dtype=dtype)
    shared: dict[str, Any] = {
        "frames": Frames(values, mask, 50.0),
        "bursts": bursts,
        "embedding": embedding,
        "logits": embedding[:, :classes],
        "vectors": embedding.detach(),
        "index": torch.arange(len(parts)),
        "ids": tuple(str(row) for row in range(len(parts))),
    }
    if labels is None:
        return UnlabelledBatch(**shared)
    return LabelledBatch(**shared, labels=torch.tensor(labels, dtype=torch.long))


def gradients(value: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    """d value / d leaf, zeros where nothing flows."""
    found = torch.autograd.grad(value, leaves, allow_unused=True, retain_graph=True) if value.requires_grad else [None] * len(leaves)
    return [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, found, strict=True)]


def leaves(*sides: Sequence[Utterance]) -> list[Tensor]:
    return [part for side in sides for utterance in side for part in utterance]


def every_pair(field: Any, a: Any, b: Any) -> Resonance:
    """S `[A, B]` and the aligned representations `[A, B, D]` of every pair, with gradient."""
    rows, picks = torch.arange(len(a)).repeat_interleave(len(b)), torch.arange(len(b)).repeat(len(a))
    found = field.aligned(a.take(rows), b, picks)
    return Resonance(found.similarity.view(len(a), len(b)), found.aligned.view(len(a), len(b), -1))


def terms(loss: Any, support: Any, source: Any, target: Any, field: Any) -> dict[str, Tensor]:
    """The loss's terms, of what it reads."""
    given = {"support": support, "source": source, "target": target, "field": field}
    return dict(loss(**{name: given[name] for name in loss.reads}))
