"""Encodes what a phase reads, and nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from sere_core.rng import derive
from sere_core.train.seeding import reseed
from sere_core.train.streams import Raw, StreamSet, make_samplers
from sere_registry import Frames, LabelledBatch, Phase, Progress, UnlabelledBatch
from sere_registry.batches import Views

#: what a loss may name in its signature, beside the streams
EXTRAS = frozenset({"support", "field", "progress"})
STREAMS = ("labelled", "source", "target")


def reads(phase: Phase) -> frozenset[str]:
    """The names of what the phase's loss wants."""
    return frozenset(inspect.signature(phase.loss).parameters) if phase.reads is None else phase.reads


@dataclass(frozen=True)
class ViewChains:
    """The frame-level alterations of the config, in order."""

    weak: Sequence[Any] = ()
    strong: Sequence[Any] = ()

    def apply(self, kind: str, frames: Frames, generator: torch.Generator) -> Frames:
        for view in self.weak if kind == "weak" else self.strong:
            frames = view(frames, generator)
        return frames


@dataclass
class Coder:
    """Draws the batches of a step and encodes them with the method's backbone.

    Every stream has its own generators: what one stream draws never depends on whether another is read.
    """

    streams: Mapping[str, StreamSet]
    sizes: Mapping[str, int | str]
    seed: int
    device: torch.device
    views: ViewChains = field(default_factory=ViewChains)
    autocast: Callable[[], Any] = torch.no_grad  # replaced by the trainer; a context manager factory

    def __post_init__(self) -> None:
        self.samplers = make_samplers({name: len(stream) for name, stream in self.streams.items()}, self.sizes, self.seed)
        self._whole: dict[str, Raw] = {}

    def draw(self, names: frozenset[str], step: int) -> dict[str, Raw]:
        """The raw batches of a step for the streams among `names`, and the whole labelled set as `support`."""
        raws: dict[str, Raw] = {}
        for name in STREAMS:
            if name in names:
                raws[name] = self._draw(name, step)
        if "support" in names:
            labelled = self.streams["labelled"]
            whole = "labelled" in raws and self.samplers["labelled"].batch == len(labelled)
            raws["support"] = raws["labelled"] if whole else self._all("labelled")
        return raws

    def _draw(self, name: str, step: int) -> Raw:
        if self.samplers[name].batch == len(self.streams[name]):
            return self._all(name)
        return self.streams[name].collate(self.samplers[name](step), self.device)

    def _all(self, name: str) -> Raw:
        """A whole stream; it is padded once, so that nothing may write to a raw batch."""
        if name not in self._whole:
            self._whole[name] = self.streams[name].collate(range(len(self.streams[name])), self.device)
        return self._whole[name]

    def encode(
        self, backbone: Any, raws: Mapping[str, Raw], views: frozenset[str], step: int
    ) -> dict[str, LabelledBatch | UnlabelledBatch]:
        """Every raw batch through its path; streams in `views` also as a weak and a strong view."""
        batches: dict[str, LabelledBatch | UnlabelledBatch] = {}
        for name, raw in raws.items():
            if name == "support" and raw is raws.get("labelled"):
                batches["support"] = batches["labelled"]
                continue
            path = self.streams["labelled" if name == "support" else name].path
            if name in views:
                raw = replace(raw, views=self._views(backbone, path, name, raw, step))
            reseed(derive(self.seed, "dropout", name, step))
            batches[name] = backbone.encode(path, raw)
        return batches

    def _views(self, backbone: Any, path: str, name: str, raw: Raw, step: int) -> Views:
        made: dict[str, Any] = {}
        for kind in ("weak", "strong"):
            generator = torch.Generator().manual_seed(derive(self.seed, "views", name, kind, step))
            frames = self.views.apply(kind, raw.frames, generator)
            reseed(derive(self.seed, "dropout", name, kind, step))
            made[kind] = backbone.encode(path, replace(raw, frames=frames))
        return Views(**made)

    def inputs(self, phase: Phase, batches: Mapping[str, Any], method: Any, progress: Progress) -> dict[str, Any]:
        """The arguments of the phase's loss."""
        given = dict(batches)
        given["field"], given["progress"] = getattr(method, "field", None), progress
        return {name: given[name] for name in reads(phase)}
