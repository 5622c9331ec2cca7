"""Streams of utterances: what is in them, in which order they come, and how they become encoded batches."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sere_core.config.model import Train
from sere_core.data.plan import Fold
from sere_core.functional import padded
from sere_core.rng import derive, reseed
from sere_registry import Frames, Inputs, LabelledBatch, Recording, UnlabelledBatch, View
from sere_registry.batches import Views
from sere_registry.training import STREAMS

if TYPE_CHECKING:
    from sere_core.train.network import Backbone


class Room:
    """Bytes that tensors may take which could be read again."""

    def __init__(self, left: int) -> None:
        self.left = left


class Unread:
    """A tensor that is read when a batch is collated, and kept from then on where there is room."""

    __slots__ = ("_kept", "_length", "_read", "_room")

    def __init__(self, length: int, read: Callable[[], Tensor], room: Room) -> None:
        self._length, self._read, self._room = length, read, room
        self._kept: Tensor | None = None

    def __len__(self) -> int:
        return self._length

    def read(self) -> Tensor:
        if self._kept is not None:
            return self._kept
        found = self._read()
        if found.nbytes <= self._room.left:
            self._kept, self._room.left = found, self._room.left - found.nbytes
        return found


def read(values: Tensor | Unread) -> Tensor:
    """The tensor, wherever it is."""
    return values if isinstance(values, Tensor) else values.read()


@dataclass(frozen=True, slots=True)
class Item:
    """One utterance, ready for the network.

    Args:
        name: what messages to the user call it.
        frames: the encoder's frozen output, `[T, F]`, standardised unless trained layers read it; in half precision where the cache
            holds it so: batches are float32.
        static: the contours as the dynamics prepared them, on the encoder's output grid, `[T', S]`.
        vector: the mean of the encoder's frozen output, standardised, `[F]`.
        language, speaker, domain: see `Encoded`.
        scaling: what standardises the output of an encoder that is trained, `[2, dim]`: see `Inputs`.  Written anew as it learns.
    """

    name: str
    frames: Tensor | Unread
    static: Tensor | Unread
    vector: Tensor
    language: int = 0
    speaker: int = -1
    domain: int = 0
    scaling: Tensor | None = None


@dataclass(frozen=True)
class Raw:
    """A padded batch before the network; its members are those of `Encoded`."""

    inputs: Inputs | None
    vectors: Tensor
    index: Tensor
    ids: tuple[str, ...]
    domain: Tensor
    language: Tensor
    speaker: Tensor
    labels: Tensor | None = None
    views: Views | None = None
    others: tuple[Raw, ...] = ()

    def encoded(self, **made: Any) -> LabelledBatch | UnlabelledBatch:
        """The batch with what the network makes of it (frames, bursts, embedding, logits, others): labelled where there are labels."""
        parts = {name: value for name, value in vars(self).items() if name != "labels"} | made
        return UnlabelledBatch(**parts) if self.labels is None else LabelledBatch(**parts, labels=self.labels)


@dataclass(frozen=True)
class StreamSet:
    """The utterances of one stream, and which encoder path they take.

    `labels` is there for the labelled stream only.  `others` are the same utterances on other paths.
    """

    name: str
    path: str
    items: tuple[Item, ...]
    rate: float
    labels: Tensor | None = None
    others: tuple[StreamSet, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def first(self, count: int) -> StreamSet:
        """The first utterances of the stream; since it is in random order they are a random sample."""
        labels = None if self.labels is None else self.labels[:count]
        return replace(self, items=self.items[:count], labels=labels, others=tuple(other.first(count) for other in self.others))

    def names(self, index: Sequence[int]) -> tuple[str, ...]:
        """What a batch calls these utterances: opaque where there is no label, because file names tell the emotion."""
        if self.labels is not None:
            return tuple(self.items[i].name for i in index)
        return tuple(hashlib.blake2b(self.items[i].name.encode(), digest_size=6).hexdigest() for i in index)

    def collate(self, index: Sequence[int], device: torch.device, vectors_only: bool = False) -> Raw:
        """The utterances at `index`, padded with zeros to the longest of them; or without inputs, for which nothing is read."""
        items = [self.items[i] for i in index]

        def numbers(values: Sequence[int]) -> Tensor:
            return torch.tensor(list(values), dtype=torch.long, device=device)

        inputs = None
        if not vectors_only:
            frames, static = [[read(item.frames) for item in items], [read(item.static) for item in items]]
            scaling = [item.scaling for item in items if item.scaling is not None]
            stacked = torch.stack(scaling).to(device) if scaling else None
            inputs = Inputs(self.path, pad(frames, self.rate, device), pad(static, self.rate, device), stacked)
        return Raw(
            inputs=inputs,
            vectors=torch.stack([item.vector for item in items]).to(device),
            index=numbers(index),
            ids=self.names(index),
            domain=numbers([item.domain for item in items]),
            language=numbers([item.language for item in items]),
            speaker=numbers([item.speaker for item in items]),
            labels=None if self.labels is None else self.labels[list(index)].to(device),
            others=tuple(other.collate(index, device) for other in self.others),
        )


def pad(sequences: Sequence[Tensor], rate: float, device: torch.device) -> Frames:
    """Sequences `[T_i, F]` as one padded batch of float32 with its mask."""
    lengths = torch.tensor([sequence.shape[0] for sequence in sequences])
    mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
    values = padded(torch.cat(list(sequences)), mask.flatten()).view(*mask.shape, -1)
    return Frames(values.to(device).float(), mask.to(device), rate)


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
        self._turn, self._permutation = -1, [0]

    def __call__(self, step: int) -> list[int]:
        if self.batch == self.size:
            return list(range(self.size))
        first = step * self.batch
        return [self._order(position // self.size)[position % self.size] for position in range(first, first + self.batch)]

    def _order(self, turn: int) -> list[int]:
        if self._turn != turn:
            generator = torch.Generator().manual_seed(derive(self.seed, "order", self.name, turn))
            self._permutation = torch.randperm(self.size, generator=generator).tolist()
            self._turn = turn
        return self._permutation


def make_samplers(lengths: Mapping[str, int], train: Train, seed: int) -> dict[str, Sampler]:
    """A sampler for each stream that has utterances: what trains and what digests the order draw from the same ones.

    Args:
        lengths: stream -> how many utterances.
    """
    sizes = train.batch.model_dump()
    return {name: Sampler(length, sizes[name], seed, name) for name, length in lengths.items() if length and name in sizes}


Batches = dict[str, LabelledBatch | UnlabelledBatch]


#: the frame-level alterations of the config, in order: of a "weak" view and of a "strong" one
ViewChains = Mapping[str, Sequence[View]]


@dataclass
class BatchMaker:
    """Draws raw batches of the streams that a stage sees, and encodes them.

    Every stream has its own generators: what one stream draws never depends on whether another is read.
    """

    streams: Mapping[str, StreamSet]
    train: Train
    seed: int
    device: torch.device
    views: ViewChains = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.samplers = make_samplers({name: len(stream) for name, stream in self.streams.items()}, self.train, self.seed)
        self._whole: dict[str, Raw] = {}

    def draw(self, names: frozenset[str], step: int) -> dict[str, Raw]:
        """The raw batches of a step for the streams among `names`, and the whole labelled set as `support`.

        A batch that is a whole stream is padded once, until `forget`, so nothing may write to a raw batch.
        """
        raws: dict[str, Raw] = {}
        for name in (*STREAMS, "support"):
            if name not in names:
                continue
            stream = self.streams["labelled" if name == "support" else name]
            if name != "support" and self.samplers[name].batch < len(stream):
                raws[name] = stream.collate(self.samplers[name](step), self.device)
                continue
            if stream.name not in self._whole:
                self._whole[stream.name] = stream.collate(range(len(stream)), self.device)
            raws[name] = self._whole[stream.name]
        return raws

    def forget(self) -> None:
        """Collate whole streams anew: what standardises them has changed."""
        self._whole = {}

    def encode(self, network: Backbone, raws: Mapping[str, Raw], views: frozenset[str], step: int) -> Batches:
        """Every raw batch through its path; streams in `views` also as a weak and a strong view."""
        batches: Batches = {}
        for name, raw in raws.items():
            if name == "support" and raw is raws.get("labelled"):
                batches["support"] = batches["labelled"]
                continue
            if name in views:
                others = tuple(self._viewed(network, name, other, step) for other in raw.others)
                raw = replace(self._viewed(network, name, raw, step), others=others)
            reseed(self.seed, "dropout", name, step)
            batches[name] = network.encode(raw)
        return batches

    def _viewed(self, network: Backbone, name: str, raw: Raw, step: int) -> Raw:
        weak, strong = (self._view(network, kind, name, raw, step) for kind in ("weak", "strong"))
        return replace(raw, views=Views(weak, strong))

    def _view(self, network: Backbone, kind: str, name: str, raw: Raw, step: int) -> LabelledBatch | UnlabelledBatch:
        generator = torch.Generator().manual_seed(derive(self.seed, "views", name, kind, step))
        assert raw.inputs is not None, "the batch holds nothing to alter"
        frames = raw.inputs.frames
        for view in self.views.get(kind, ()):
            frames = view(frames, generator)
        reseed(self.seed, "dropout", name, kind, step)
        vectors = frames.mean() if raw.inputs.scaling is None else raw.vectors  # else frames are not standardised
        return network.encode(replace(raw, inputs=replace(raw.inputs, frames=frames), vectors=vectors, others=()))


def fold_seed(seed: int, fold: int) -> int:
    """The seed of everything random in a fold."""
    return derive(seed, "fold", fold)


def steps_per_epoch(train: Train, fold: Fold) -> int:
    """How many steps make an epoch of a fold: what the config says, or one pass over T_u."""
    return train.steps_per_epoch or -(-len(fold.target) // train.batch.target)


def order_digests(folds: Sequence[Fold], train: Train, seed: int) -> dict[str, str]:
    """Stream -> SHA-256 of the utterances drawn, in order, in every step of the budget of every fold.

    Known before training and the same for every method: all streams are there, whether or not the method reads them;
    one without utterances is not.  A stage draws the steps of its share of the budget from the first on.
    """
    made = {name: hashlib.sha256() for name in ("labelled", "source", "target")}
    drawn: set[str] = set()
    for fold in folds:
        members: dict[str, Sequence[Recording]] = {"labelled": fold.labelled, "source": fold.source, "target": fold.target}
        samplers = make_samplers({name: len(each) for name, each in members.items()}, train, fold_seed(seed, fold.index))
        for name, sampler in samplers.items():
            drawn.add(name)
            made[name].update("\n".join(recording.key for recording in members[name]).encode() + b"\0")
            for step in range(train.epochs * steps_per_epoch(train, fold)):
                made[name].update(array("I", sampler(step)).tobytes())
    return {name: digest.hexdigest() for name, digest in made.items() if name in drawn}
