"""Draws the batches of a step and encodes what a phase reads, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from sere_core.config.model import Train
from sere_core.rng import derive
from sere_core.train.device import reseed
from sere_core.train.network import Backbone
from sere_core.train.streams import Raw, StreamSet, make_samplers
from sere_registry import Frames, LabelledBatch, UnlabelledBatch, View
from sere_registry.batches import Views
from sere_registry.training import STREAMS

Batches = dict[str, LabelledBatch | UnlabelledBatch]


@dataclass(frozen=True)
class ViewChains:
    """The frame-level alterations of the config, in order."""

    weak: Sequence[View] = ()
    strong: Sequence[View] = ()

    def apply(self, kind: str, frames: Frames, generator: torch.Generator) -> Frames:
        """The frames, altered by every view of the chain `kind`."""
        for view in self.weak if kind == "weak" else self.strong:
            frames = view(frames, generator)
        return frames


@dataclass
class BatchMaker:
    """Draws raw batches of the streams that a stage sees, and encodes them.

    Every stream has its own generators: what one stream draws never depends on whether another is read.
    """

    streams: Mapping[str, StreamSet]
    train: Train
    seed: int
    device: torch.device
    views: ViewChains = field(default_factory=ViewChains)

    def __post_init__(self) -> None:
        self.samplers = make_samplers({name: len(stream) for name, stream in self.streams.items()}, self.train, self.seed)
        self._whole: dict[str, Raw] = {}

    def draw(self, names: frozenset[str], step: int) -> dict[str, Raw]:
        """The raw batches of a step for the streams among `names`, and the whole labelled set as `support`.

        A batch that is a whole stream is padded once, so nothing may write to a raw batch.
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

    def encode(self, backbone: Backbone, raws: Mapping[str, Raw], views: frozenset[str], step: int) -> Batches:
        """Every raw batch through its path; streams in `views` also as a weak and a strong view."""
        batches: Batches = {}
        for name, raw in raws.items():
            if name == "support" and raw is raws.get("labelled"):
                batches["support"] = batches["labelled"]
                continue
            if name in views:
                weak, strong = (self._view(backbone, kind, name, raw, step) for kind in ("weak", "strong"))
                raw = replace(raw, views=Views(weak, strong))
            reseed(derive(self.seed, "dropout", name, step))
            batches[name] = backbone.encode(raw)
        return batches

    def _view(self, backbone: Backbone, kind: str, name: str, raw: Raw, step: int) -> LabelledBatch | UnlabelledBatch:
        generator = torch.Generator().manual_seed(derive(self.seed, "views", name, kind, step))
        frames = self.views.apply(kind, raw.inputs.frames, generator)
        reseed(derive(self.seed, "dropout", name, kind, step))
        return backbone.encode(replace(raw, inputs=replace(raw.inputs, frames=frames)))
