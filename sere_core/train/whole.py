"""Whole streams, encoded without gradient: what `StageData` offers a method, and what prediction runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from sere_core.train.network import Backbone, predicting
from sere_core.train.streams import StreamSet
from sere_registry import Frames, LabelledBatch, Method, UnlabelledBatch, error
from sere_registry.training import Stream

#: utterances encoded at a time
CHUNK = 64


@contextmanager
def evaluating(module: object) -> Iterator[None]:
    """Evaluation mode without gradient; the mode is put back afterwards."""
    network = cast(nn.Module, module)
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(training)


def chunks(stream: StreamSet, backbone: Backbone, device: torch.device) -> Iterator[LabelledBatch | UnlabelledBatch]:
    """The stream in batches of similar length (less padding); `index` says which utterances they hold."""
    order = sorted(range(len(stream)), key=lambda i: len(stream.items[i].frames))
    for first in range(0, len(order), CHUNK):
        with evaluating(backbone):
            batch = backbone.encode(stream.collate(order[first : first + CHUNK], device))
        yield batch


def _in_order(pieces: list[Tensor], index: list[Tensor]) -> Tensor:
    """Rows of chunks, put back into the order of their stream."""
    return torch.cat(pieces)[torch.cat(index).argsort().to(pieces[0].device)]


def _without_frames(batch: LabelledBatch | UnlabelledBatch) -> LabelledBatch | UnlabelledBatch:
    """The batch with zero frames and nothing to encode: frames of whole streams do not fit into memory."""
    values, mask = batch.frames.values, batch.frames.mask
    frames = Frames(values.new_zeros(len(values), 0, values.shape[2]), mask.new_zeros(len(mask), 0), batch.frames.rate)
    bursts = batch.bursts.new_zeros(len(values), 0, batch.bursts.shape[2])
    return replace(batch, frames=frames, bursts=bursts, inputs=None)


def encode_whole(stream: StreamSet, backbone: Backbone, device: torch.device) -> LabelledBatch | UnlabelledBatch:
    """The whole stream as one batch in stream order, without its frames."""
    pieces = [_without_frames(batch) for batch in chunks(stream, backbone, device)]
    names = ["embedding", "logits", "vectors", "index", "domain", "language", "speaker"]
    names += [] if stream.labels is None else ["labels"]
    index = [piece.index for piece in pieces]
    joined: dict[str, Any] = {name: _in_order([getattr(piece, name) for piece in pieces], index) for name in names}
    first, n = pieces[0], len(stream)
    frames = replace(first.frames, values=first.frames.values[:1].expand(n, -1, -1), mask=first.frames.mask[:1].expand(n, -1))
    return replace(first, frames=frames, bursts=first.bursts[:1].expand(n, -1, -1), ids=stream.names(range(n)), **joined)


def encode_support(stream: StreamSet, backbone: Backbone, device: torch.device) -> LabelledBatch:
    """The whole labelled set with its frames, for classifiers that compare with it."""
    with evaluating(backbone):
        batch = backbone.encode(stream.collate(range(len(stream)), device))
    assert isinstance(batch, LabelledBatch)
    return batch


def predict(method: Method, stream: StreamSet, support: StreamSet | None, device: torch.device) -> tuple[Tensor, Tensor]:
    """Posteriors `[n, C]` and embeddings `[n, D]` of a stream, in its order, on the CPU."""
    backbone = predicting(method)
    ask: Callable[..., Tensor] = method.predict
    extra: dict[str, LabelledBatch] = {}
    if method.needs_support:
        assert support is not None, "a stage without the source cannot need the support set"
        extra["support"] = encode_support(support, backbone, device)
    index, posteriors, embeddings = [], [], []
    with evaluating(method):
        for batch in chunks(stream, backbone, device):
            index.append(batch.index.cpu())
            posteriors.append(ask(batch, **extra).float().cpu())
            embeddings.append(batch.embedding.float().cpu())
    return _in_order(posteriors, index), _in_order(embeddings, index)


def pseudo_labels(method: Method, stream: StreamSet, support: StreamSet, device: torch.device) -> Tensor | None:
    """The pseudo-labels `[n]` of a stream, in its order, on the CPU; None for a method that assigns none."""
    backbone = predicting(method)
    labelled = encode_support(support, backbone, device)
    index, pieces = [], []
    with evaluating(method):
        for batch in chunks(stream, backbone, device):
            found = method.pseudo_labels(batch, labelled)  # type: ignore[arg-type]
            if found is None:
                return None
            index.append(batch.index.cpu())
            pieces.append(found.cpu())
    return _in_order(pieces, index)


class VisibleData:
    """`StageData`: the streams a stage may see.  It is built without the others, so they cannot be reached from it."""

    def __init__(self, streams: Mapping[str, StreamSet], backbone: Callable[[], Backbone], device: torch.device) -> None:
        self._streams, self._backbone, self._device = dict(streams), backbone, device

    def _stream(self, name: str) -> StreamSet:
        if name not in self._streams:
            seen = ", ".join(sorted(self._streams)) or "nothing"
            raise error("D611", f"this stage may not see the stream '{name}'", hint=f"it declares that it sees: {seen}")
        return self._streams[name]

    def size(self, stream: Stream) -> int:
        return len(self._stream(stream))

    def encoded(self, stream: Stream) -> LabelledBatch | UnlabelledBatch:
        return encode_whole(self._stream(stream), self._backbone(), self._device)

    def vectors(self, stream: Stream) -> Tensor:
        return torch.stack([item.vector for item in self._stream(stream).items]).to(self._device)

    def labels(self) -> Tensor:
        labels = self._stream("labelled").labels
        assert labels is not None
        return labels.to(self._device)
