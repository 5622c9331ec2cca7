"""The encoder whisper: the encoder half of Whisper."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from sere_plugins.encoders.hub import locate
from sere_plugins.encoders.off_tree import OffTree
from sere_plugins.encoders.pretrained_base import PretrainedEncoder
from sere_plugins.encoders.whisper_network import WhisperNetwork
from sere_plugins.specs.transformers import WhisperParams
from sere_registry import BuildContext, Frames, error


class Whisper(PretrainedEncoder):
    """The encoder half of Whisper (arXiv:2212.04356).

    Whisper reads windows of fixed length, 30 s in the published checkpoints: an utterance is padded with silence to a whole
    number of them, each is encoded by itself, and only the frames that begin within the utterance are kept.  Frames stand
    every 20 ms, the first at 0 s.  A window attends to its padding too, as it did when Whisper was trained.

    With `train: top` and `context: window` the top layers go on attending to the padding, so `extract` returns whole windows
    (of P frames each) and then one row of zeros for each real frame: the number of rows tells how many frames are real.
    That is exact, but 1500 rows of cache for a short utterance; and a view must not change the number of rows.  With
    `context: real`, `extract` returns the real frames and the top layers attend to these alone.

    Args:
        params: the checkpoint, and which layers.
        context: for messages.

    Raises:
        SereError: X703 (no such model), B401 (not a checkpoint of Whisper), C302 (it has no such layer).
    """

    offset = 0.0

    def __init__(self, params: WhisperParams, context: BuildContext) -> None:
        network = WhisperNetwork(locate(params.model, params.revision, "whisper", f"encoders.{context.id}.params.model"))
        config = network.config()
        super().__init__(params, context, network, config.d_model, config.encoder_layers)
        self.place = f"encoders.{context.id}"
        self.step = 2 * network.hop
        self.rate = 16000 / self.step
        self.positions = int(config.max_source_positions)
        self.whole = params.train == "top" and params.context == "window"
        self._trunk = OffTree(functools.partial(network.trunk, self.cut))

    @property
    def standardises(self) -> bool:
        return bool(self.checkpoint.preprocessor.get("do_normalize", False))

    def fingerprint(self) -> Mapping[str, object]:
        return {**super().fingerprint(), "whole": self.whole}

    def extract(self, waveform: NDArray[np.float32], contours: Mapping[str, NDArray[np.float32]], hop: float) -> NDArray[np.float32]:
        """16 kHz mono samples `[N]` -> what the frozen part makes of them, `[T, F]` (`[N, 1]` for `train: all`)."""
        values = self.samples(waveform)
        if self.train_mode == "all":
            return values[:, None]
        with torch.inference_mode():
            windows = self._windows(torch.from_numpy(values).to(self.where.device))
            states = self._trunk.on(self.where.device)(windows)
            out = (torch.cat(states, dim=-1) if self.mixing else states[-1]).flatten(0, 1)
            real = -(-len(values) // self.step)
            out = pad(out, (0, 0, 0, real)) if self.whole else out[:real]
            return out.cpu().numpy()  # type: ignore[no-any-return]

    def lengths(self, lengths: Tensor) -> Tensor:
        """Rows of `extract` -> frames."""
        if self.train_mode == "all":
            return torch.div(lengths + self.step - 1, self.step, rounding_mode="floor")
        return lengths - self._counts(lengths) * self.positions if self.whole else lengths

    def forward(self, frames: Frames) -> Frames:
        """`[B, T, F]` -> `[B, T', dim]`."""
        if self.top is None:
            return frames if self.mix is None else Frames(self.mix(frames.values), frames.mask, self.rate)
        if not (self.whole or self.front):
            return Frames(self.top(frames.values, frames.mask)[-1], frames.mask, self.rate)
        rows = frames.mask.sum(dim=1)
        if self.front is not None:
            parts = [self._windows(one[:n, 0]) for one, n in zip(frames.values, rows.tolist(), strict=True)]
        else:
            counts = self._counts(rows).tolist()
            parts = [one[: n * self.positions].reshape(n, self.positions, -1) for one, n in zip(frames.values, counts, strict=True)]
        windows = torch.cat(parts)
        encoded = self.top(windows if self.front is None else self.front(windows), None)[-1]
        kept = self.lengths(rows)
        pieces = encoded.split([len(part) for part in parts])
        values = pad_sequence([piece.flatten(0, 1)[:n] for piece, n in zip(pieces, kept.tolist(), strict=True)], batch_first=True)
        return Frames(values, torch.arange(values.shape[1], device=values.device) < kept[:, None], self.rate)

    def _windows(self, samples: Tensor) -> Tensor:
        """`[N]` -> `[W, P * step]`, the last padded with silence."""
        size = self.positions * self.step
        return pad(samples, (0, -len(samples) % size)).reshape(-1, size)

    def _counts(self, rows: Tensor) -> Tensor:
        """How many windows there are in so many rows: W P of windows and then between (W - 1) P + 1 and W P of zeros."""
        counts = torch.div(rows + 2 * self.positions - 1, 2 * self.positions, rounding_mode="floor")
        if bool((rows <= (2 * counts - 1) * self.positions).any()):
            hint = "use context: real, or leave out the views that cut utterances"
            raise error("B402", "whisper with context: window got an utterance without some of its rows", hint, self.place)
        return counts
