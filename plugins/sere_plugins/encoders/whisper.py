"""The encoder whisper: the encoder half of Whisper, which reads windows of fixed length; the decoder is never read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, pad
from torch.nn.utils.rnn import pad_sequence

from sere_core.functional.frames import power_spectra
from sere_plugins.encoders.pretrained import OffTree, PretrainedEncoder
from sere_plugins.specs.encoders import WhisperParams
from sere_registry import BuildContext, Frames, error

if TYPE_CHECKING:
    from transformers import PreTrainedModel, WhisperFeatureExtractor


class Convolutions(nn.Module):
    """Log-mel `[W, bands, 2 P]` -> `[W, P, H]`."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.conv1, self.conv2 = model.conv1, model.conv2

    def forward(self, mel: Tensor) -> Tensor:
        return gelu(self.conv2(gelu(self.conv1(mel)))).transpose(1, 2)


class WhisperFront(nn.Module):
    """Windows of samples -> what enters the first layer.

    Args:
        extractor: samples -> log-mel (arXiv:2212.04356, section 2.2).
        cnn: the two convolutions: a part of this module, or off its tree where they are frozen.
        positions: the position embedding `[P, H]`, which Whisper does not train.
        rate: of dropout, in train mode.
    """

    positions: Tensor

    def __init__(self, extractor: WhisperFeatureExtractor, cnn: nn.Module | OffTree, positions: Tensor, rate: float) -> None:
        super().__init__()
        self.extractor, self.cnn, self.rate = extractor, cnn, rate
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """`[W, N]` -> `[W, P, H]`."""
        return dropout(self.cnn(self.mel(windows)) + self.positions, self.rate, self.training)

    def mel(self, windows: Tensor) -> Tensor:
        """`[W, N]` -> `[W, bands, 2 P]`, without gradient, in float32 whatever the autocast."""
        if torch.onnx.is_in_onnx_export():  # which would take what the extractor makes for constants
            return log_mel(windows, self.extractor)
        options = {"padding": "longest", "truncation": False, "return_tensors": "pt", "device": str(windows.device)}
        with torch.no_grad(), torch.autocast(windows.device.type, enabled=False):
            waves = list(windows.float().cpu().numpy())
            mel: Tensor = self.extractor(waves, sampling_rate=16000, **options).input_features
        return mel.to(windows)


def log_mel(windows: Tensor, extractor: WhisperFeatureExtractor) -> Tensor:
    """What the extractor makes of samples, `[W, N]` -> `[W, bands, N / hop]`, in operations that ONNX has."""
    size, step = extractor.n_fft, extractor.hop_length
    padded = pad(windows[:, None], (size // 2, size // 2), mode="reflect")[:, 0]
    power = power_spectra(padded, torch.hann_window(size), step)[:, :-1]
    bands = (power @ torch.from_numpy(extractor.mel_filters).float()).clamp(min=1e-10).log10().transpose(1, 2)
    return (torch.maximum(bands, bands.amax(dim=(1, 2), keepdim=True) - 8.0) + 4.0) / 4.0


class Whisper(PretrainedEncoder):
    """The encoder half of Whisper (arXiv:2212.04356).

    Whisper reads windows of fixed length, 30 s in the published checkpoints: an utterance is padded with silence to a whole
    number of them, each is encoded by itself, and only the frames that begin within the utterance are kept.  Frames stand
    every 20 ms, the first at 0 s.  A window attends to its padding too, as it did when Whisper was trained.

    With `train: top` and `context: window` the top layers go on attending to the padding, so `extract` returns whole windows
    (of P frames each) and then one row of zeros for each real frame: the number of rows tells how many frames are real.
    That is exact, but 1500 rows of cache for a short utterance; and a view must not change the number of rows.  With
    `context: real`, `extract` returns the real frames and the top layers attend to these alone.
    """

    kind = "whisper"
    usually_standardises = False
    offset = 0.0
    cnn_names = ("conv",)
    front_names = ("embed_positions.",)
    layers_name = "layers"
    norm_name = "layer_norm"
    prefixes = ("model.encoder.", "encoder.", "")

    def __init__(self, params: WhisperParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.step = 2 * int(self.checkpoint.preprocessor.get("hop_length", 160))  # a frame takes two of the spectrogram
        self.rate = 16000 / self.step
        self.positions = int(self.config.max_source_positions)
        self.whole = params.train == "top" and params.context == "window"

    def model(self) -> PreTrainedModel:
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        return WhisperEncoder(self.config)

    def build_cnn(self, model: PreTrainedModel) -> nn.Module:
        return Convolutions(model)

    def build_front(self, model: PreTrainedModel, cnn: nn.Module | OffTree) -> nn.Module:
        from transformers import WhisperFeatureExtractor

        given = {name: value for name, value in self.checkpoint.preprocessor.items() if name in ("hop_length", "n_fft")}
        extractor = WhisperFeatureExtractor(feature_size=model.config.num_mel_bins, **given)
        return WhisperFront(extractor, cnn, model.embed_positions.weight.detach(), model.config.dropout)

    def fingerprint(self) -> Mapping[str, object]:
        return {**super().fingerprint(), "whole": self.whole}

    def batched(self, samples: Tensor) -> Tensor:
        """`[N]` -> `[W, P * step]`, the last window padded with silence."""
        size = self.positions * self.step
        return pad(samples, (0, -len(samples) % size)).reshape(-1, size)

    def kept(self, rows: Tensor, samples: int) -> Tensor:
        real = -(-samples // self.step)
        return pad(rows, (0, 0, 0, real)) if self.whole else rows[:real]

    def traced(self, samples: Tensor) -> Tensor:
        """What `extract` returns, in torch.

        Raises:
            SereError: T509.
        """
        if self.whole:
            what = "whisper with context: window encodes its windows one by one"
            raise error("T509", what, "train with context: real", f"{self.place}.params.context")
        return super().traced(samples)

    def window(self, samples: Tensor) -> Tensor:
        size = self.positions * self.step
        count = torch.div(samples.shape[0] + size - 1, size, rounding_mode="floor")
        return torch.cat([samples, samples.new_zeros(size)])[: count * size].reshape(-1, size)

    def real(self, rows: Tensor, samples: Tensor) -> Tensor:
        return rows[: torch.div(samples.shape[0] + self.step - 1, self.step, rounding_mode="floor")]

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
