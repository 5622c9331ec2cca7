"""The encoders wav2vec2, hubert and wavlm."""

from __future__ import annotations

import functools
import math
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
from sere_plugins.encoders.speech_network import SpeechNetwork
from sere_plugins.specs.transformers import PretrainedParams
from sere_registry import BuildContext, Frames


class SpeechEncoder(PretrainedEncoder):
    """wav2vec 2.0 (arXiv:2006.11477), HuBERT (arXiv:2106.07447) or WavLM (arXiv:2110.13900).

    Frames stand every 320 samples (50 Hz); the first looks at samples 0 to 399, so its centre is at 12.5 ms.  An utterance
    shorter than those 400 samples is padded with zeros to one frame.  What an utterance becomes never depends on its
    batch: `extract` takes one at a time, and `forward` masks padding, or runs the convolutions at true lengths where their
    group norm would see it.

    Args:
        kind: "wav2vec2", "hubert" or "wavlm".
        params: the checkpoint, and which layers.
        context: for messages.

    Raises:
        SereError: X703 (no such model), B401 (not a checkpoint of this kind), C302 (it has no such layer).
    """

    def __init__(self, kind: str, params: PretrainedParams, context: BuildContext) -> None:
        network = SpeechNetwork(locate(params.model, params.revision, kind, f"encoders.{context.id}.params.model"), kind)
        config = network.config()
        super().__init__(params, context, network, config.hidden_size, config.num_hidden_layers)
        self._convolutions = tuple(zip(config.conv_kernel, config.conv_stride, strict=True))
        self.field = _field(self._convolutions)
        self.rate = 16000 / math.prod(config.conv_stride)
        self.offset = self.field / 2 / 16000
        self._batchable = config.feat_extract_norm == "layer" and not getattr(config, "conv_pos_batch_norm", False)
        self._trunk = OffTree(functools.partial(network.trunk, self.cut))

    @property
    def standardises(self) -> bool:
        return bool(self.checkpoint.preprocessor.get("do_normalize", True))

    def extract(self, waveform: NDArray[np.float32], contours: Mapping[str, NDArray[np.float32]], hop: float) -> NDArray[np.float32]:
        """16 kHz mono samples `[N]` -> what the frozen part makes of them, `[T, F]` (`[N, 1]` for `train: all`)."""
        values = self.samples(waveform)
        values = np.pad(values, (0, max(0, self.field - len(values))))
        if self.train_mode == "all":
            return values[:, None]
        with torch.inference_mode():
            states = self._trunk.on(self.where.device)(torch.from_numpy(values).to(self.where.device))
            out = torch.cat(states, dim=-1) if self.mixing else states[-1]
            return out.cpu().numpy()  # type: ignore[no-any-return]

    def lengths(self, lengths: Tensor) -> Tensor:
        """Rows of `extract` -> frames: the same, or for `train: all` what the convolutions leave of so many samples."""
        if self.train_mode != "all":
            return lengths
        lengths = lengths.clamp(min=self.field)
        for kernel, stride in self._convolutions:
            lengths = torch.div(lengths - kernel, stride, rounding_mode="floor") + 1
        return lengths

    def forward(self, frames: Frames) -> Frames:
        """`[B, T, F]` -> `[B, T', dim]`."""
        if self.front is not None:
            values, mask = self._embed(frames)
        else:
            values, mask = frames.values, frames.mask
        if self.top is not None:
            values = self.top(values, mask)[-1]
        elif self.mix is not None:
            values = self.mix(values)
        return Frames(values, mask, self.rate)

    def _embed(self, frames: Frames) -> tuple[Tensor, Tensor]:
        """Samples `[B, N, 1]` -> what enters the first layer `[B, T, H]`, and its mask."""
        assert self.front is not None
        samples = frames.values[..., 0].masked_fill(~frames.mask, 0.0)
        samples = pad(samples, (0, max(0, self.field - samples.shape[1])))
        rows = frames.mask.sum(dim=1).clamp(min=self.field)
        counts = self.lengths(rows)
        mask = torch.arange(int(counts.max()), device=samples.device) < counts[:, None]
        if self._batchable:
            return self.front(samples, mask), mask
        alone = [self.front(one[None, :n], None)[0] for one, n in zip(samples, rows.tolist(), strict=True)]
        return pad_sequence(alone, batch_first=True), mask


def _field(convolutions: tuple[tuple[int, int], ...]) -> int:
    """How many samples one frame looks at."""
    field = 1
    for kernel, stride in reversed(convolutions):
        field = (field - 1) * stride + kernel
    return field


Wav2Vec2 = functools.partial(SpeechEncoder, "wav2vec2")
Hubert = functools.partial(SpeechEncoder, "hubert")
WavLM = functools.partial(SpeechEncoder, "wavlm")
