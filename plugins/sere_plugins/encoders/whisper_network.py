"""The encoder half of Whisper, taken apart; the decoder is never read from disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu

from sere_plugins.encoders.hub import Checkpoint
from sere_plugins.encoders.log_mel import LogMel
from sere_plugins.encoders.off_tree import OffTree
from sere_plugins.encoders.stack import Stack
from sere_plugins.encoders.weights import fill


class Convolutions(nn.Module):
    """Log-mel `[W, bands, 2 P]` -> `[W, P, H]`."""

    def __init__(self, model: Any) -> None:
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

    def __init__(self, mel: LogMel, cnn: nn.Module | OffTree, positions: Tensor, rate: float) -> None:
        super().__init__()
        self.mel = mel
        self.cnn = cnn
        self.rate = rate
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """`[W, N]` -> `[W, P, H]`."""
        with torch.no_grad():
            mel = self.mel(windows)
        if isinstance(self.cnn, OffTree):
            with torch.no_grad():
                values = self.cnn.on(windows.device)(mel)
        else:
            values = self.cnn(mel)
        return dropout(values + self.positions, self.rate, self.training)


class WhisperTrunk(nn.Module):
    """The frozen part: windows of samples `[W, N]` -> the hidden states, each `[W, P, H]`."""

    def __init__(self, front: WhisperFront, stack: Stack) -> None:
        super().__init__()
        self.front = front
        self.stack = stack

    def forward(self, windows: Tensor) -> list[Tensor]:
        states: list[Tensor] = self.stack(self.front(windows), None)
        return states


@dataclass(frozen=True)
class WhisperNetwork:
    """Whisper's encoder on disk, and how to build parts of it."""

    checkpoint: Checkpoint

    def config(self, layers: int | None = None) -> Any:
        """The network's configuration, cut down to so many layers."""
        from transformers.models.whisper.configuration_whisper import WhisperConfig

        changes = {} if layers is None else {"encoder_layers": max(layers, 1), "num_hidden_layers": max(layers, 1)}
        made = self.checkpoint.configuration(WhisperConfig, changes)
        made._attn_implementation = "sdpa"
        return made

    @property
    def hop(self) -> int:
        """Samples between two frames of the spectrogram; a frame of the encoder takes two."""
        return int(self.checkpoint.preprocessor.get("hop_length", 160))

    def trunk(self, cut: int) -> WhisperTrunk:
        """Everything below layer `cut`, and the final norm where there is nothing above."""
        model = self._laid_out(cut)
        self._fill(model, [""])
        return WhisperTrunk(self._front(Convolutions(model), model), self._stack(model, 0, cut))

    def top(self, cut: int, depth: int) -> Stack:
        """The layers from `cut` (counted from 0) up to `depth`, and the final norm where there is nothing above."""
        model = self._laid_out(depth)
        self._fill(model, [*(f"layers.{i}." for i in range(cut, depth)), "layer_norm."])
        return self._stack(model, cut, depth)

    def front(self, train_cnn: bool) -> WhisperFront:
        """What stands before the layers; the convolutions are trained only if asked for."""
        model = self._laid_out(1)
        self._fill(model, ["embed_positions.", *(["conv"] if train_cnn else [])])
        return self._front(Convolutions(model) if train_cnn else OffTree(self.cnn), model)

    def cnn(self) -> Convolutions:
        """The two convolutions alone."""
        model = self._laid_out(1)
        self._fill(model, ["conv"])
        return Convolutions(model)

    def _laid_out(self, layers: int) -> Any:
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        config = self.config(layers)
        with torch.device("meta"):
            return WhisperEncoder(config)

    def _fill(self, model: nn.Module, parts: Sequence[str]) -> None:
        fill(model, self.checkpoint, parts, ("model.encoder.", "encoder.", ""))

    def _front(self, cnn: nn.Module | OffTree, model: Any) -> WhisperFront:
        size = int(self.checkpoint.preprocessor.get("n_fft", 400))
        mel = LogMel(model.config.num_mel_bins, size, self.hop)
        return WhisperFront(mel, cnn, model.embed_positions.weight.detach(), model.config.dropout)

    def _stack(self, model: Any, cut: int, depth: int) -> Stack:
        return Stack(model.layers[cut:depth], model.layer_norm if depth == self.config().encoder_layers else None)
