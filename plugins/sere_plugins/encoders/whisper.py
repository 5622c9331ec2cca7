"""The encoder whisper: the encoder half of Whisper, which reads windows of fixed length; the decoder is never read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, pad
from torch.nn.utils.rnn import pad_sequence

from sere_plugins.encoders.checkpoint import Checkpoint, locate
from sere_plugins.encoders.pretrained import Network, OffTree, PretrainedEncoder
from sere_plugins.specs.encoders import WhisperParams
from sere_registry import BuildContext, Frames, error

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class WhisperLogMel(nn.Module):
    """Whisper's log-mel spectrogram (arXiv:2212.04356, section 2.2), on any device and for whole batches.

    The same numbers as transformers' `WhisperFeatureExtractor`, which works on one CPU array at a time: power spectrum under
    a Hann window, Slaney mel filters, log10, at most 80 dB below the window's loudest point, scaled to about [-1, 1].

    Args:
        bands: how many mel bands.
        size: of the Fourier transform, in samples.
        hop: samples between two frames.
    """

    filters: Tensor
    window: Tensor

    def __init__(self, bands: int, size: int, hop: int) -> None:
        super().__init__()
        from transformers.models.whisper.feature_extraction_whisper import WhisperFeatureExtractor

        filters = WhisperFeatureExtractor(feature_size=bands, n_fft=size, hop_length=hop).mel_filters
        self.size, self.hop = size, hop
        self.register_buffer("filters", torch.as_tensor(filters, dtype=torch.float32).T.contiguous(), persistent=False)
        self.register_buffer("window", torch.hann_window(size), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """`[W, N]` -> `[W, bands, N / hop]`, in float32 whatever the autocast."""
        with torch.autocast(samples.device.type, enabled=False):
            spectrum = torch.stft(samples.float(), self.size, self.hop, window=self.window, return_complex=True)
            mel = self.filters @ spectrum[..., :-1].abs().square()
            level = mel.clamp(min=1e-10).log10()
            level = torch.maximum(level, level.amax(dim=(-2, -1), keepdim=True) - 8.0)
            return (level + 4.0) / 4.0


class Convolutions(nn.Module):
    """Log-mel `[W, bands, 2 P]` -> `[W, P, H]`."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.conv1 = model.conv1
        self.conv2 = model.conv2

    def forward(self, mel: Tensor) -> Tensor:
        return gelu(self.conv2(gelu(self.conv1(mel)))).transpose(1, 2)


class WhisperFront(nn.Module):
    """Windows of samples -> what enters the first layer.

    Args:
        mel: samples -> log-mel.
        cnn: the two convolutions: a part of this module, or off its tree where they are frozen.
        positions: the position embedding `[P, H]`, which Whisper does not train.
        rate: of dropout, in train mode.
    """

    positions: Tensor

    def __init__(self, mel: WhisperLogMel, cnn: nn.Module | OffTree, positions: Tensor, rate: float) -> None:
        super().__init__()
        self.mel = mel
        self.cnn = cnn
        self.rate = rate
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """`[W, N]` -> `[W, P, H]`."""
        with torch.no_grad():
            mel = self.mel(windows)
        return dropout(self.cnn(mel) + self.positions, self.rate, self.training)


class WhisperNetwork(Network):
    """Whisper's encoder on disk."""

    cnn_names = ("conv",)
    front_names = ("embed_positions.",)
    layers_name = "layers"
    norm_name = "layer_norm"
    norm_is_last = True
    prefixes = ("model.encoder.", "encoder.", "")

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.layers = int(self.config.encoder_layers)
        #: samples between two frames of the spectrogram; a frame of the encoder takes two
        self.hop = int(checkpoint.preprocessor.get("hop_length", 160))

    def model(self) -> PreTrainedModel:
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        return WhisperEncoder(self.config)

    def build_cnn(self, model: PreTrainedModel) -> nn.Module:
        return Convolutions(model)

    def build_front(self, model: PreTrainedModel, cnn: nn.Module | OffTree) -> nn.Module:
        size = int(self.checkpoint.preprocessor.get("n_fft", 400))
        mel = WhisperLogMel(model.config.num_mel_bins, size, self.hop)
        return WhisperFront(mel, cnn, model.embed_positions.weight.detach(), model.config.dropout)


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
    usually_standardises = False

    def __init__(self, params: WhisperParams, context: BuildContext) -> None:
        place = f"encoders.{context.id}"
        network = WhisperNetwork(locate(params.model, params.revision, "whisper", f"{place}.params.model"))
        super().__init__(params, context, network)
        self.place = place
        self.step = 2 * network.hop
        self.rate = 16000 / self.step
        self.positions = int(network.config.max_source_positions)
        self.whole = params.train == "top" and params.context == "window"

    def fingerprint(self) -> Mapping[str, object]:
        return {**super().fingerprint(), "whole": self.whole}

    def batched(self, samples: Tensor) -> Tensor:
        """`[N]` -> `[W, P * step]`, the last window padded with silence."""
        size = self.positions * self.step
        return pad(samples, (0, -len(samples) % size)).reshape(-1, size)

    def kept(self, rows: Tensor, samples: int) -> Tensor:
        real = -(-samples // self.step)
        return pad(rows, (0, 0, 0, real)) if self.whole else rows[:real]

    def lengths(self, lengths: Tensor) -> Tensor:
        """Rows of `extract` -> frames."""
        if self.train_mode == "all":
            return torch.div(lengths + self.step - 1, self.step, rounding_mode="floor")
        return lengths - self._windows(lengths) * self.positions if self.whole else lengths

    def forward(self, frames: Frames) -> Frames:
        """`[B, T, F]` -> `[B, T', dim]`."""
        if self.top is None or not (self.whole or self.front):
            return super().forward(frames)
        rows = frames.mask.sum(dim=1)
        if self.front is not None:
            parts = [self.batched(one[:n, 0]) for one, n in zip(frames.values, rows.tolist(), strict=True)]
        else:
            sizes = (self._windows(rows) * self.positions).tolist()
            parts = [one[:n].reshape(-1, self.positions, one.shape[-1]) for one, n in zip(frames.values, sizes, strict=True)]
        windows = torch.cat(parts)
        encoded = self.top(windows if self.front is None else self.front(windows))[-1]
        kept = self.lengths(rows)
        pieces = encoded.split([len(part) for part in parts])
        values = pad_sequence([piece.flatten(0, 1)[:n] for piece, n in zip(pieces, kept.tolist(), strict=True)], batch_first=True)
        return Frames(values, torch.arange(values.shape[1], device=values.device) < kept[:, None], self.rate)

    def _windows(self, rows: Tensor) -> Tensor:
        """How many windows there are in so many rows: W P of windows and then between (W - 1) P + 1 and W P of zeros.

        Raises:
            SereError: B402 where no number of windows fits, since a view took rows away.
        """
        counts = torch.div(rows + 2 * self.positions - 1, 2 * self.positions, rounding_mode="floor")
        if bool((rows <= (2 * counts - 1) * self.positions).any()):
            hint = "use context: real, or leave out the views that cut utterances"
            raise error("B402", "whisper with context: window got an utterance without some of its rows", hint, self.place)
        return counts
