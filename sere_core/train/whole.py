"""Whole streams, encoded without gradient: what `StageData` offers a method, and what prediction runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from sere_core.train.streams import StreamSet
from sere_registry import Frames, LabelledBatch, UnlabelledBatch, error

#: utterances encoded at a time
CHUNK = 64


def chunks(stream: StreamSet, backbone: Any, device: torch.device) -> Iterator[tuple[list[int], LabelledBatch | UnlabelledBatch]]:
    """The stream in batches of similar length (less padding), each with its positions."""
    order = sorted(range(len(stream)), key=lambda i: len(stream.items[i].frames))
    training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            for first in range(0, len(order), CHUNK):
                index = order[first : first + CHUNK]
                yield index, backbone.encode(stream.path, stream.collate(index, device))
    finally:
        backbone.train(training)


def encode_whole(stream: StreamSet, backbone: Any, device: torch.device) -> LabelledBatch | UnlabelledBatch:
    """The whole stream as one batch in stream order, without its frames."""
    index: list[int] = []
    pieces: list[Any] = []
    for positions, batch in chunks(stream, backbone, device):
        index += positions
        pieces.append(batch)
    back = torch.tensor(index).argsort().to(device)

    def joined(name: str) -> Tensor:
        return torch.cat([getattr(piece, name) for piece in pieces])[back]

    embedding = joined("embedding")
    nothing = embedding.new_zeros(len(index), 0, embedding.shape[1])
    first = pieces[0]
    parts: dict[str, Any] = {
        "frames": Frames(nothing, torch.zeros(len(index), 0, dtype=torch.bool, device=device), first.frames.rate),
        "bursts": embedding.new_zeros(len(index), 0, first.bursts.shape[-1]),
        "embedding": embedding,
        "ids": stream.names(range(len(index))),
    }
    parts.update({name: joined(name) for name in ("logits", "vectors", "index")})
    if stream.labels is not None:
        return LabelledBatch(**parts, labels=joined("labels"))
    return UnlabelledBatch(**parts)


def encode_support(stream: StreamSet, backbone: Any, device: torch.device) -> LabelledBatch:
    """The whole labelled set with its frames, for classifiers that compare with it."""
    training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            batch = backbone.encode(stream.path, stream.collate(range(len(stream)), device))
    finally:
        backbone.train(training)
    assert isinstance(batch, LabelledBatch)
    return batch


def prediction_backbone(method: Any) -> Any:
    """What encodes at prediction."""
    return getattr(method, "prediction_backbone", method.backbone)


def pseudo_classes(method: Any, stream: StreamSet, support: StreamSet, device: torch.device) -> Tensor | None:
    """The pseudo-classes `[n]` of a stream, in its order, on the CPU; None for a method that makes none."""
    if not hasattr(method, "pseudo_classes"):
        return None
    backbone = prediction_backbone(method)
    labelled = encode_support(support, backbone, device)
    training = method.training
    method.eval()
    index: list[int] = []
    pieces: list[Tensor] = []
    try:
        with torch.no_grad():
            for positions, batch in chunks(stream, backbone, device):
                found = method.pseudo_classes(batch, labelled)
                if found is None:
                    return None
                index += positions
                pieces.append(found.cpu())
    finally:
        method.train(training)
    return torch.cat(pieces)[torch.tensor(index).argsort()]


def predict(method: Any, stream: StreamSet, support: StreamSet | None, device: torch.device) -> tuple[Tensor, Tensor]:
    """Posteriors `[n, C]` and embeddings `[n, D]` of a stream, in its order, on the CPU."""
    backbone = prediction_backbone(method)
    extra: dict[str, Any] = {}
    if getattr(method, "needs_support", False):
        assert support is not None, "a stage without the source cannot need the support set"
        extra["support"] = encode_support(support, backbone, device)
    training = method.training
    method.eval()
    index: list[int] = []
    posteriors, embeddings = [], []
    with torch.no_grad():
        for positions, batch in chunks(stream, backbone, device):
            index += positions
            posteriors.append(method.predict(batch, **extra).float().cpu())
            embeddings.append(batch.embedding.float().cpu())
    method.train(training)
    back = torch.tensor(index).argsort()
    return torch.cat(posteriors)[back], torch.cat(embeddings)[back]


class VisibleData:
    """`StageData`: the streams a stage may see.  It is built without the others, so they cannot be reached from it."""

    def __init__(self, streams: Mapping[str, StreamSet], backbone: Callable[[], Any], device: torch.device) -> None:
        self._streams, self._backbone, self._device = dict(streams), backbone, device

    def _stream(self, name: str) -> StreamSet:
        if name not in self._streams:
            seen = ", ".join(sorted(self._streams)) or "nothing"
            raise error("D611", f"this stage may not see the stream '{name}'", hint=f"it declares that it sees: {seen}")
        return self._streams[name]

    def size(self, stream: str) -> int:
        return len(self._stream(stream))

    def encoded(self, stream: str) -> LabelledBatch | UnlabelledBatch:
        return encode_whole(self._stream(stream), self._backbone(), self._device)

    def vectors(self, stream: str) -> Tensor:
        return torch.stack([item.vector for item in self._stream(stream).items]).to(self._device)

    def labels(self) -> Tensor:
        labels = self._stream("labelled").labels
        assert labels is not None
        return labels.to(self._device)
