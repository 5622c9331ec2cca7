"""Several encoders' frames side by side (`Concatenation`), or fused by cross-attention after HuMP-CAT (`Fusion`).

That is reconstructed from Zhao et al. 2025, arXiv 2501.10408:

For streams A (the query) and B, projected to h^A, h^B `[T, d]` on one grid of frames:

    CA(A, B) = softmax((h^A W_q) (h^B W_k)^T / sqrt(d / heads)) h^B W_v        each head for itself, then W_o
    a = LayerNorm(h^A + CA(A, B));    o(A, B) = LayerNorm(a + FFN(a))

and the output is [o(A_1, B_1); o(A_2, B_2); ...] over the pairs of streams, `[T, pairs * d]`, which the engine pools.  No
position enters, so the order of B's frames does not matter.

Known from the abstract: HuBERT, MFCC and prosody, fused by a cross-attention transformer.  Unknown, and ours: which stream queries
which (`queries`: the first all others, or each all others), every size, one layer, LayerNorm after the residual sum.  The paper
fine-tunes on labelled target speech, which is no part of an encoder (`task.target_labels` does that); its log-mel and prosody
streams stand in here as `sere.logmel` (bands, no cepstrum) and `sere.acoustic`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_core.public import SAMPLE_RATE
from sere_plugins.specs.fusion import ConcatenationParams, FusionParams
from sere_registry import BuildContext, Encoder, Frames, error
from sere_registry.protocols import ContourName, networks_of

Array = NDArray[np.float32]
#: rows for which an encoder's `lengths` shows how many of them make a frame
_MANY = 10_000


class CrossAttention(nn.Module):
    """Frames of one stream read those of another: attention, then a feed-forward layer, each with residual and LayerNorm."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.feed_forward = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def attended(self, query: Tensor, key: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """CA(A, B) `[B, T, d]` and the weights of the key's frames, averaged over heads, `[B, T, T']`; 0 where `mask` is False."""
        found: tuple[Tensor, Tensor] = self.attention(query, key, key, key_padding_mask=~mask)
        return found

    def forward(self, query: Tensor, key: Tensor, mask: Tensor) -> Tensor:
        """o(A, B), `[B, T, d]`; padded frames of both are finite, and `mask` is that of the key."""
        read = self.attention(query, key, key, key_padding_mask=~mask, need_weights=False)[0]
        mixed = self.norms[0](query + self.dropout(read))
        fused: Tensor = self.norms[1](mixed + self.dropout(self.feed_forward(mixed)))
        return fused


class Streams(nn.Module):
    """The frozen parts of several encoders on one grid, side by side: an utterance through all of them.

    What an encoder trains by itself takes no part: of `logmel` the bands are read, of a mix of layers all layers.  The
    encoders stand beside the module tree, so that only what is built on them is trained and saved.

    Raises:
        SereError: C302 for a stream that is to be trained (`train: top` or `all`), or whose layer is left to the run.
    """

    normalise = True
    pools = False  # may the streams be pooled over time?

    def __init__(self, params: FusionParams | ConcatenationParams, context: BuildContext) -> None:
        super().__init__()
        self._streams: tuple[Encoder, ...] = tuple(context.parts("streams"))
        place = f"encoders.{context.id}.params.streams"
        for index, stream in enumerate(self._streams):
            if getattr(stream, "depths", ()):
                raise error("C302", "a run chooses no layer for a stream", "write the layer's number", place=f"{place}.{index}")
            if getattr(stream, "pooled", False) and not self.pools:
                raise error("C302", "a stream has frames, and this one is pooled over time", "use `pool: false`", place=f"{place}.{index}")
            if not stream.normalise:
                raise error("C302", "a stream is frozen, and its encoder here is trained", "use `train: frozen`", place=f"{place}.{index}")
        self.pooled = any(getattr(stream, "pooled", False) for stream in self._streams)
        self.widths = [stream.input_dim for stream in self._streams]
        wanted = {name for stream in self._streams for name in stream.contours}
        self.contours: tuple[ContourName, ...] = tuple(sorted(wanted))
        self.rate, self.offset = float(params.rate), 0.5 / params.rate
        self.input_dim = sum(self.widths)

    @property
    def parts(self) -> Mapping[str, Encoder]:
        """The encoders, by where they stand in the config below this one."""
        return {f"params.streams.{index}": stream for index, stream in enumerate(self._streams)}

    @property
    def networks(self) -> tuple[tuple[int, int], ...]:
        """Of each stream, how many hidden states stand side by side, and how wide they are."""
        return tuple(each for stream in self._streams for each in networks_of(stream))

    @property
    def files(self) -> tuple[Path, ...]:
        """All that the streams read."""
        return tuple(Path(file) for stream in self._streams for file in getattr(stream, "files", ()))

    def fingerprint(self) -> Mapping[str, object]:
        """The grid, and of each stream, in their order, what it is and its own fingerprint."""
        names = [f"{type(stream).__module__}:{type(stream).__qualname__}" for stream in self._streams]
        prints = [dict(stream.fingerprint()) for stream in self._streams]
        return {"rate": self.rate, "streams": [list(each) for each in zip(names, prints, strict=True)]}

    def extract(self, waveform: Array, contours: Mapping[str, Array], hop: float) -> Array:
        """The streams' frozen frames on one grid, side by side, `[ceil(seconds * rate), F_1 + F_2 + ...]`; one row if they are pooled."""
        count = max(1, int(np.ceil(len(waveform) * self.rate / SAMPLE_RATE - 1e-9)))
        found = []
        for stream in self._streams:
            rows = stream.extract(waveform, {name: contours[name] for name in stream.contours}, hop)
            if self.pooled:
                found.append(rows.mean(axis=0, keepdims=True))
            else:
                found.append(to_grid(rows, row_rate(stream), stream.offset, self.rate, count))
        return np.concatenate(found, axis=1)

    def lengths(self, lengths: Tensor) -> Tensor:
        """The same."""
        return lengths

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Also moves the streams: they extract on the device of the fusion."""
        for stream in self._streams:
            if isinstance(stream, nn.Module):
                stream._apply(fn)  # type: ignore[no-untyped-call]
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]


class Concatenation(Streams):
    """Early fusion: nothing but the frozen frames side by side; the engine's projection mixes them.

    If one stream is pooled over time all are: one row of their means stands for an utterance.
    """

    pools = True

    def __init__(self, params: ConcatenationParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.dim = self.input_dim

    def forward(self, frames: Frames) -> Frames:
        """The same."""
        return frames


class Fusion(Streams):
    """Trained on the streams: a projection of each, and cross-attention."""

    def __init__(self, params: FusionParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.inputs = nn.ModuleList(nn.Linear(width, params.dim) for width in self.widths)
        count = len(self.widths)
        self.pairs = list(permutations(range(count), 2)) if params.queries == "each" else [(0, other) for other in range(1, count)]
        self.blocks = nn.ModuleList(CrossAttention(params.dim, params.heads, params.hidden, params.dropout) for _ in self.pairs)
        self.dim = len(self.pairs) * params.dim

    def forward(self, frames: Frames) -> Frames:
        """`[B, T, F_1 + F_2 + ...]` -> `[B, T, pairs * d]`."""
        values = torch.where(frames.mask.unsqueeze(-1), frames.values, torch.zeros_like(frames.values))
        projected = [layer(part) for layer, part in zip(self.inputs, torch.split(values, self.widths, dim=-1), strict=True)]
        fused = [block(projected[a], projected[b], frames.mask) for block, (a, b) in zip(self.blocks, self.pairs, strict=True)]
        return Frames(torch.cat(fused, dim=-1), frames.mask, self.rate)


def row_rate(encoder: Encoder) -> float:
    """Rows of `extract` per second: the trained part may make one frame of several."""
    return encoder.rate * round(_MANY / int(encoder.lengths(torch.tensor([_MANY]))[0]))


def to_grid(rows: Array, rate: float, offset: float, grid: float, count: int) -> Array:
    """Rows at `offset + i / rate` seconds -> `count` frames, frame j from j / grid to (j + 1) / grid seconds.

    A frame is the mean of the rows in it; without one, it is read off a straight line between the nearest two.  The last holds
    what stands behind it, too.

    >>> to_grid(np.array([[0.0], [2.0], [4.0], [6.0]], np.float32), 50.0, 0.01, 25.0, 2).tolist()
    [[1.0], [5.0]]
    >>> to_grid(np.array([[0.0], [4.0]], np.float32), 25.0, 0.02, 50.0, 4).tolist()
    [[0.0], [0.0], [3.0], [4.0]]
    """
    frame = np.minimum(((offset + np.arange(len(rows)) / rate) * grid + 1e-6).astype(int), count - 1)
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, frame, rows)
    counts = np.bincount(frame, minlength=count)[:, None]
    place = np.clip(((np.arange(count) + 0.5) / grid - offset) * rate, 0, len(rows) - 1)
    low = place.astype(int)
    share = (place - low)[:, None]
    between = rows[low] * (1 - share) + rows[np.minimum(low + 1, len(rows) - 1)] * share
    return np.where(counts > 0, sums / np.maximum(counts, 1), between).astype(np.float32)
