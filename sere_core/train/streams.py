"""Streams of utterances: what is in them, in which order they come, and how they become padded batches."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sere_core.rng import derive
from sere_core.train.packing import padded
from sere_registry import Frames
from sere_registry.batches import Views


@dataclass(frozen=True)
class Item:
    """One utterance, ready for the network.

    Args:
        name: what messages to the user call it.
        frames: the encoder's frozen output, standardised, `[T, F]`.
        static: the contours as the dynamics prepared them, on the encoder's output grid, `[T', S]`.
        vector: the mean of `frames`, `[F]`.
    """

    name: str
    frames: Tensor
    static: Tensor
    vector: Tensor


@dataclass(frozen=True)
class Raw:
    """A padded batch before the network."""

    frames: Frames
    static: Frames
    vectors: Tensor
    index: Tensor
    ids: tuple[str, ...]
    labels: Tensor | None = None
    views: Views | None = None


@dataclass(frozen=True)
class StreamSet:
    """The utterances of one stream, and which encoder path they take.

    `labels` is there for the labelled source stream only.
    """

    name: str
    path: str
    items: tuple[Item, ...]
    rate: float
    static_rate: float
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.items)

    def names(self, index: Sequence[int]) -> tuple[str, ...]:
        """What a batch calls these utterances: opaque where there is no label, because file names tell the emotion."""
        if self.labels is not None:
            return tuple(self.items[i].name for i in index)
        return tuple(hashlib.blake2b(self.items[i].name.encode(), digest_size=6).hexdigest() for i in index)

    def collate(self, index: Sequence[int], device: torch.device) -> Raw:
        """The utterances at `index`, padded with zeros to the longest of them."""
        items = [self.items[i] for i in index]
        return Raw(
            frames=pad([item.frames for item in items], self.rate, device),
            static=pad([item.static for item in items], self.static_rate, device),
            vectors=torch.stack([item.vector for item in items]).to(device),
            index=torch.tensor(list(index), dtype=torch.long, device=device),
            ids=self.names(index),
            labels=None if self.labels is None else self.labels[list(index)].to(device),
        )


def pad(sequences: Sequence[Tensor], rate: float, device: torch.device) -> Frames:
    """Sequences `[T_i, F]` as one padded batch with its mask."""
    lengths = torch.tensor([sequence.shape[0] for sequence in sequences])
    mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
    values = padded(torch.cat(list(sequences)), mask.flatten()).view(*mask.shape, -1)
    return Frames(values.to(device), mask.to(device), rate)


class Sampler:
    """Which utterances of a stream make step `s`: random passes, one after the other, cut into batches.

    A pass is a random permutation named by the run's seed, the stream and the pass, so that step `s` can be asked for
    directly.  A batch at least as large as the stream is the whole stream, in order.

    >>> sampler = Sampler(5, 2, seed=0, name="target")
    >>> sorted(sampler(0) + sampler(1) + sampler(2)[:1])
    [0, 1, 2, 3, 4]
    """

    def __init__(self, size: int, batch: int | str, seed: int, name: str) -> None:
        self.size, self.seed, self.name = size, seed, name
        self.batch = size if isinstance(batch, str) else min(batch, size)

    def __call__(self, step: int) -> list[int]:
        if self.batch == self.size:
            return list(range(self.size))
        first = step * self.batch
        return [self._order(position // self.size)[position % self.size] for position in range(first, first + self.batch)]

    def _order(self, turn: int) -> list[int]:
        if getattr(self, "_turn", None) != turn:
            generator = torch.Generator().manual_seed(derive(self.seed, "order", self.name, turn))
            self._permutation = torch.randperm(self.size, generator=generator).tolist()
            self._turn = turn
        return self._permutation


def make_samplers(lengths: Mapping[str, int], sizes: Mapping[str, int | str], seed: int) -> dict[str, Sampler]:
    """A sampler for each stream that has utterances: what trains and what digests the order draw from the same ones.

    Args:
        lengths: stream -> how many utterances.
        sizes: stream -> how many of them make a step.
        seed: of the fold.
    """
    return {name: Sampler(length, sizes[name], seed, name) for name, length in lengths.items() if length}
