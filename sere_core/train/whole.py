"""Whole streams, encoded without gradient: what `StageData` offers a method, and what prediction runs on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_core.train.network import Backbone, predicting
from sere_core.train.streams import Item, StreamSet, pad, read
from sere_registry import Frames, LabelledBatch, Method, UnlabelledBatch, error
from sere_registry.protocols import JUDGED
from sere_registry.training import Stream

#: utterances encoded at a time
CHUNK = 64
_FOR_AUTHOR = "this is for the author of the method, or of the loss that predicts"


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


def chunks(stream: StreamSet, backbone: Backbone | None, device: torch.device) -> Iterator[LabelledBatch | UnlabelledBatch]:
    """The stream in batches of similar length (less padding); `index` says which utterances they hold.

    Without a backbone no frame is read, and vectors stand for what is encoded.
    """
    stream = replace(stream, others=())
    order = sorted(range(len(stream)), key=lambda i: len(stream.items[i].frames))
    for first in range(0, len(order), CHUNK):
        raw = stream.collate(order[first : first + CHUNK], device, vectors_only=backbone is None)
        if backbone is None:
            nothing = raw.vectors.new_zeros(len(raw.ids), 0, 0)
            frames = Frames(nothing, torch.zeros(len(raw.ids), 0, dtype=torch.bool, device=device), stream.rate)
            yield raw.encoded(frames=frames, bursts=nothing, embedding=raw.vectors, logits=nothing.flatten(1))
        else:
            with evaluating(backbone):
                batch = backbone.encode(raw)
            yield batch


def _in_order(pieces: list[Tensor], index: list[Tensor]) -> Tensor:
    """Rows of chunks, put back into the order of their stream."""
    return torch.cat(pieces)[torch.cat(index).argsort().to(pieces[0].device)]


def encode_whole(stream: StreamSet, backbone: Backbone | None, device: torch.device) -> LabelledBatch | UnlabelledBatch:
    """The whole stream as one batch in stream order, with zero frames and nothing to encode: all frames take too much memory."""
    names = ["embedding", "logits", "vectors", "index", "domain", "language", "speaker"]
    names += [] if stream.labels is None else ["labels"]
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    for batch in chunks(stream, backbone, device):
        for name, pieces in parts.items():
            pieces.append(getattr(batch, name))
    joined: dict[str, Any] = {name: _in_order(pieces, parts["index"]) for name, pieces in parts.items()}
    values, bursts, n = batch.frames.values, batch.bursts, len(stream)
    frames = Frames(values.new_zeros(n, 0, values.shape[2]), batch.frames.mask.new_zeros(n, 0), stream.rate)
    bursts = bursts.new_zeros(n, 0, bursts.shape[2])
    return replace(batch, frames=frames, bursts=bursts, inputs=None, ids=stream.names(range(n)), **joined)


def output_means(
    encoder: nn.Module, frames: Iterable[Tensor], rate: float, device: torch.device, half: bool = False
) -> Iterator[NDArray[np.float32]]:
    """Of what an encoder makes of each utterance's frames `[T, F]`, the mean over time, `[dim]`; computed in bfloat16 with `half`."""
    waiting = iter(frames)
    while some := list(islice(waiting, CHUNK)):
        with evaluating(encoder), torch.autocast(device.type, torch.bfloat16, enabled=half):
            found: Frames = encoder(pad(some, rate, device))
            means = replace(found, values=found.values.float()).mean()
        yield from means.float().cpu().numpy()


def embeddings(method: Method, stream: StreamSet, device: torch.device) -> Tensor:
    """Of a whole stream, in its order, on the CPU: g, or the vectors of a method that reads nothing else."""
    found = encode_whole(stream, None if method.vectors_only else predicting(method), device)
    return found.embedding.float().cpu()


def encode_support(stream: StreamSet, backbone: Backbone, device: torch.device) -> LabelledBatch:
    """The whole labelled set with its frames, for classifiers that compare with it."""
    with evaluating(backbone):
        batch = backbone.encode(stream.collate(range(len(stream)), device))
    assert isinstance(batch, LabelledBatch)
    return batch


def predict(
    method: Method, stream: StreamSet, support: StreamSet | None, device: torch.device, *, pseudo: bool = False
) -> dict[str, Tensor]:
    """Of a stream, in its order, on the CPU: `posteriors` `[n, C]` and `embeddings` `[n, D]`.

    Where the same utterances are read by others (`paths.predict: mean`), the posteriors are the mean over all.
    With `pseudo` also the `pseudo`-labels `[n]` of a method that assigns some; they need the support set.
    """
    backbone, extra, labelled = None if method.vectors_only else predicting(method), {}, None
    if support is not None and backbone is not None and (pseudo or method.needs_support):
        labelled = encode_support(support, backbone, device)
    if method.needs_support:
        assert labelled is not None, "a stage without the source cannot need the support set"
        extra["support"] = labelled
    ask: Callable[..., Tensor] = method.predict
    parts: dict[str, list[Tensor]] = defaultdict(list)
    with evaluating(method):
        for batch in chunks(stream, backbone, device):
            posteriors = _posteriors(ask(batch, **extra), len(batch.index))
            made = {"index": batch.index, "posteriors": posteriors, "embeddings": batch.embedding.float()}
            assigned = method.pseudo_labels(batch, labelled) if pseudo and labelled is not None else None  # type: ignore[arg-type]
            if assigned is not None and (not isinstance(assigned, Tensor) or assigned.shape != batch.index.shape):
                raise error("B403", f"pseudo_labels returns {_what(assigned)}, not the classes of {len(batch.index)} utterances")
            for name, value in (made if assigned is None else {**made, "pseudo": assigned}).items():
                parts[name].append(value.cpu())
    index = parts.pop("index")
    found = {name: _in_order(pieces, index) for name, pieces in parts.items()}
    if stream.others and stream.name in ("target", "test"):
        every = [found["posteriors"], *(predict(method, other, support, device)["posteriors"] for other in stream.others)]
        found["posteriors"] = torch.stack(every).mean(dim=0)
    return found


def readings(
    method: Method, streams: Mapping[str, StreamSet], support: StreamSet | None, device: torch.device, names: Iterable[str]
) -> dict[str, Tensor]:
    """What selectors read of whole streams, on the CPU, by the names of `sere_registry.protocols.Selector`; others are left out."""
    found, asked = dict[str, Tensor](), set(names)
    for name in JUDGED:
        mine = {each for each in asked if each.partition("_")[0] == name}
        stream = streams["labelled" if name == "source" and name not in streams else name] if mine else None
        if stream is None:
            continue
        if {name, f"{name}_embedding"} & mine:
            made = predict(method, stream, support, device)
            found |= {name: made["posteriors"], f"{name}_embedding": made["embeddings"]}
        if f"{name}_vectors" in mine:
            found[f"{name}_vectors"] = torch.stack([item.vector for item in stream.items])
        if stream.labels is not None:
            found[f"{name}_labels"] = stream.labels.cpu()
    return {name: found[name] for name in sorted(asked & set(found))}


def mixed(one: Item, other: Item, share: float) -> Item:
    """What the network reads of two utterances, as a weighted sum; the other is repeated, or cut, to the length of the first."""

    def mix(a: Tensor, b: Tensor) -> Tensor:
        return share * a + (1.0 - share) * b[torch.arange(len(a)) % len(b)]

    frames, static = mix(read(one.frames).float(), read(other.frames).float()), mix(read(one.static), read(other.static))
    if one.scaling is None or other.scaling is None:
        return replace(one, frames=frames, static=static, vector=frames.mean(dim=0))
    return replace(one, frames=frames, static=static, vector=mix(one.vector, other.vector), scaling=mix(one.scaling, other.scaling))


def predict_mixtures(
    method: Method, stream: StreamSet, support: StreamSet | None, device: torch.device, first: Tensor, second: Tensor, share: float
) -> Tensor:
    """Posteriors `[m, C]` of mixtures of utterances `first` and `second`, each `[m]`, of a stream; on the CPU."""

    def mixture(one: StreamSet, pairs: list[tuple[int, int]]) -> StreamSet:
        items = tuple(mixed(one.items[i], one.items[j], share) for i, j in pairs)
        return replace(one, items=items, others=tuple(mixture(other, pairs) for other in one.others))

    pairs, found = list(zip(first.tolist(), second.tolist(), strict=True)), []
    for start in range(0, len(pairs), CHUNK):  # not all at once: frames take too much memory
        found.append(predict(method, mixture(stream, pairs[start : start + CHUNK]), support, device)["posteriors"])
    return torch.cat(found) if found else torch.zeros(0, 0)


def _posteriors(found: object, count: int) -> Tensor:
    """What a method predicts for a chunk, `[B, C]`.

    Raises:
        SereError: B403 where these are no posteriors.
    """
    shaped = isinstance(found, Tensor) and found.ndim == 2 and len(found) == count and found.is_floating_point()
    if not isinstance(found, Tensor) or not shaped:
        raise error("B403", f"predict returns {_what(found)}, not posteriors of {count} utterances", _FOR_AUTHOR)
    rows = found.float()
    if not rows.isfinite().all():
        raise error("B403", "predict returns posteriors that are not finite", _FOR_AUTHOR)
    if bool((rows < -1e-6).any()) or bool(((rows.sum(dim=1) - 1).abs() > 1e-3).any()):
        raise error("B403", "predict returns posteriors that are negative or do not sum to 1", _FOR_AUTHOR)
    return rows


def _what(found: object) -> str:
    return f"{found.dtype} of shape {list(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"


class VisibleData:
    """`StageData`: the streams a stage may see.  It is built without the others, so they cannot be reached from it."""

    def __init__(
        self,
        streams: Mapping[str, StreamSet],
        backbone: Callable[[], Backbone],
        device: torch.device,
        optional: frozenset[str] = frozenset(),
    ) -> None:
        self._streams, self._backbone, self._device = dict(streams), backbone, device
        self._empty = optional - set(streams)

    def _stream(self, name: str) -> StreamSet:
        if name not in self._streams:
            seen = ", ".join(sorted(self._streams)) or "nothing"
            raise error("D611", f"this stage may not see the stream '{name}'", hint=f"it declares that it sees: {seen}")
        return self._streams[name]

    def size(self, stream: Stream) -> int:
        return 0 if stream in self._empty else len(self._stream(stream))

    def encoded(self, stream: Stream) -> LabelledBatch | UnlabelledBatch:
        return encode_whole(self._stream(stream), self._backbone(), self._device)

    def vectors(self, stream: Stream) -> Tensor:
        if stream in self._empty:
            some = next(iter(self._streams.values())).items[0].vector
            return some.new_zeros(0, len(some)).to(self._device)
        return torch.stack([item.vector for item in self._stream(stream).items]).to(self._device)

    def labels(self) -> Tensor:
        labels = self._stream("labelled").labels
        assert labels is not None
        return labels.to(self._device)
