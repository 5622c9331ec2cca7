"""The encoder whisper: the encoder half of Whisper, which reads windows of fixed length; the decoder is never read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        return gelu(self.conv2(gelu(self.conv1(mel.to(self.conv1.weight.dtype))))).transpose(1, 2)


class WhisperFront(nn.Module):
    """Windows of samples -> what enters the first layer.

    Args:
        extractor: samples -> log-mel (arXiv:2212.04356, section 2.2).
        cnn: the two convolutions: a part of this module, or off its tree where they are frozen.
        positions: the position embedding `[P, H]`, which Whisper does not train.
        rate: of dropout, in train mode.
    """

    positions: Tensor

    def __init__(self, extractor: WhisperFeatureExtractor, cnn: nn.Module | OffTree[nn.Module], positions: Tensor, rate: float) -> None:
        super().__init__()
        self.extractor, self.cnn, self.rate = extractor, cnn, rate
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Samples of at most P frames, `[W, T, step]` -> `[W, T, H]`.

        Behind them is silence, as in a longer window, of which the last frame's convolutions see one frame.
        """
        count = windows.shape[1]
        heard = pad(windows, (0, 0, 0, 1))[:, : len(self.positions)].flatten(1)
        values = self.cnn(self.mel(heard))[:, :count] + self.positions[:count]
        return dropout(values, self.rate, self.training)

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


def framed(samples: Tensor, step: int) -> Tensor:
    """`[N]` -> `[ceil(N / step), step]`, the last filled up with silence; in operations that ONNX has."""
    number = (samples.shape[0] + step - 1) // step
    return torch.cat([samples, samples.new_zeros(step)])[: number * step].reshape(number, step)


class Whisper(PretrainedEncoder):
    """The encoder half of Whisper (arXiv:2212.04356).

    Frames stand every 20 ms, the first at 0 s.  Whisper was trained on windows of P frames (1500 in the published checkpoints:
    30 s), which an utterance is padded to with silence.  With `window: utterance` a window is as long as the utterance, and
    all real frames, and these alone, are attended to: layer 0 is the same as Whisper's, the layers above nearly so.  What is
    longer than P frames becomes windows of equal length, each encoded by itself.

    With `window: full` an utterance is padded to a whole number of P frames, the padding is attended to, and only real frames are
    kept.  With `train: top` the top layers go on attending to the padding, so `extract` returns whole windows and then one
    row of zeros for each real frame: the number of rows tells how many are real.  That is 1500 rows of cache for a short
    utterance; and a view must not change the number of rows.
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
        self.full = params.window == "full"
        self.whole = self.full and self.train_mode == "top"

    def model(self) -> PreTrainedModel:
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        return WhisperEncoder(self.config)

    def build_cnn(self, model: PreTrainedModel) -> nn.Module:
        return Convolutions(model)

    def build_front(self, model: PreTrainedModel, cnn: nn.Module | OffTree[nn.Module]) -> nn.Module:
        from transformers import WhisperFeatureExtractor

        given = {name: value for name, value in self.checkpoint.preprocessor.items() if name in ("hop_length", "n_fft")}
        extractor = WhisperFeatureExtractor(feature_size=model.config.num_mel_bins, **given)
        return WhisperFront(extractor, cnn, model.embed_positions.weight.detach(), model.config.dropout)

    def fingerprint(self) -> Mapping[str, object]:
        window = "whole" if self.whole else "full" if self.full else "utterance"
        return {**super().fingerprint(), **({} if self.train_mode == "all" else {"window": window})}

    def embedded(self, front: nn.Module, samples: Sequence[Tensor]) -> Frames:
        values, mask = self.windows([framed(one, self.step) for one in samples])
        return Frames(front(values), mask, self.rate)

    def windows(self, utterances: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Rows of utterances, each `[T, F]` -> windows one after another `[W, S, F]`, and which of their rows are real `[W, S]`."""
        folded = [self.folded(rows) for rows in utterances]
        width = max(real.shape[1] for _, real in folded)
        values = torch.cat([pad(each, (0, 0, 0, width - each.shape[1])) for each, _ in folded])
        return values, torch.cat([pad(real, (0, width - real.shape[1])) for _, real in folded])

    def folded(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """One utterance's windows, in operations that ONNX has; the last is filled up with zeros."""
        number = rows.shape[0]
        count = (number + self.positions - 1) // self.positions
        size = self.positions if self.full else (number + count - 1) // count
        filled = torch.cat([rows, rows.new_zeros(self.positions, rows.shape[1])])[: count * size]
        real = torch.arange(count * size, device=rows.device) < number
        return filled.reshape(-1, size, rows.shape[1]), real.reshape(-1, size)

    def attended(self, mask: Tensor) -> Tensor | None:
        return None if self.full else super().attended(mask)

    def kept(self, rows: Tensor, mask: Tensor, samples: Sequence[Tensor]) -> Sequence[Tensor]:
        counts = [-(-len(one) // self.step) for one in samples]
        if not self.whole:
            return torch.split(rows[mask], counts)
        own = torch.split(rows, [-(-count // self.positions) for count in counts])
        return [pad(each.flatten(0, 1), (0, 0, 0, count)) for each, count in zip(own, counts, strict=True)]

    def traced(self, samples: Tensor) -> Tensor:
        """What `extract` returns, in torch.

        Raises:
            SereError: T509.
        """
        if self.whole:
            what = "whisper with window: full encodes its windows one by one"
            raise error("T509", what, "train with window: utterance", f"{self.place}.params.window")
        return super().traced(samples)

    def real(self, rows: Tensor, samples: Tensor) -> Tensor:
        return rows[: (samples.shape[0] + self.step - 1) // self.step]

    def trace(self, front: nn.Module, stack: nn.Module, samples: Tensor) -> list[Tensor]:
        values, mask = self.folded(framed(samples, self.step))
        states: list[Tensor] = stack(front(values), None if self.full else mask)
        return states

    def lengths(self, lengths: Tensor) -> Tensor:
        """Rows of `extract` -> frames."""
        if self.train_mode == "all":
            return torch.div(lengths + self.step - 1, self.step, rounding_mode="floor")
        return lengths - self._windows(lengths) * self.positions if self.whole else lengths

    def forward(self, frames: Frames) -> Frames:
        """`[B, T, F]` -> `[B, T', dim]`."""
        if self.top is None:
            return super().forward(frames)
        if torch.onnx.is_in_onnx_export():  # of one utterance
            values, mask = self.folded(frames.values[0])
            rows = self.through_top(self.top, values, mask).flatten(0, 1)[None, : frames.values.shape[1]]
            return Frames(rows, frames.mask, self.rate)
        rows, counts = frames.mask.sum(dim=1), self.lengths(frames.mask.sum(dim=1))
        read = self._windows(rows) * self.positions if self.whole else rows
        given = [one[:n] for one, n in zip(frames.values, read.tolist(), strict=True)]
        if self.front is not None:
            given = [framed(one[:, 0], self.step) for one in given]
        values, mask = self.windows(given)
        encoded = self.through_top(self.top, values if self.front is None else self.front(values), self.attended(mask))
        pieces = torch.split(encoded[mask], [len(one) for one in given])
        joined = pad_sequence([piece[:n] for piece, n in zip(pieces, counts.tolist(), strict=True)], batch_first=True)
        return Frames(joined, torch.arange(joined.shape[1], device=joined.device) < counts[:, None], self.rate)

    def _windows(self, rows: Tensor) -> Tensor:
        """How many windows there are in so many rows: W P of windows and then between (W - 1) P + 1 and W P of zeros.

        Raises:
            SereError: B402 where no number of windows fits, since a view took rows away.
        """
        counts = torch.div(rows + 2 * self.positions - 1, 2 * self.positions, rounding_mode="floor")
        if bool((rows <= (2 * counts - 1) * self.positions).any()):
            hint = "use window: utterance, or leave out the views that cut utterances"
            raise error("B402", "whisper with window: full got an utterance without some of its rows", hint, self.place)
        return counts
