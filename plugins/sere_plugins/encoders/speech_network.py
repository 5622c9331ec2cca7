"""wav2vec 2.0, HuBERT and WavLM, taken apart: convolutional front, position embedding, layers.

The three share their architecture and the names of its parts; only the parts that a run needs are read from disk.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sere_plugins.encoders.hub import Checkpoint
from sere_plugins.encoders.off_tree import OffTree
from sere_plugins.encoders.stack import Stack, relative_bias
from sere_plugins.encoders.weights import fill


class Front(nn.Module):
    """Samples -> what enters the first layer: convolutions, projection, position embedding.

    Args:
        cnn: the convolutions: a part of this module, or off its tree where they are frozen.
        model: the network that the other parts come from.
        norm: the norm before the first layer, which only some networks have.
    """

    def __init__(self, cnn: nn.Module | OffTree, model: Any, norm: nn.Module | None) -> None:
        super().__init__()
        self.cnn = cnn
        self.projection = model.feature_projection
        self.positions = model.encoder.pos_conv_embed
        self.norm = norm
        self.dropout = model.encoder.dropout

    def forward(self, samples: Tensor, mask: Tensor | None) -> Tensor:
        """`[B, N]` -> `[B, T, H]`; frames outside `mask` `[B, T]` are set to zero before the position embedding reads them."""
        if isinstance(self.cnn, OffTree):
            with torch.no_grad():
                features = self.cnn.on(samples.device)(samples)
        else:
            features = self.cnn(samples)
        out = self.projection(features.transpose(1, 2))
        values: Tensor = out[0] if isinstance(out, tuple) else out
        if mask is not None:
            values = values[:, : mask.shape[1]].masked_fill(~mask.unsqueeze(-1), 0.0)
        values = values + self.positions(values)
        if self.norm is not None:
            values = self.norm(values)
        return self.dropout(values)  # type: ignore[no-any-return]


class Trunk(nn.Module):
    """The frozen part for one utterance: samples `[N]` -> the hidden states, each `[T, H]`."""

    def __init__(self, front: Front, stack: Stack) -> None:
        super().__init__()
        self.front = front
        self.stack = stack

    def forward(self, samples: Tensor) -> list[Tensor]:
        return [state[0] for state in self.stack(self.front(samples[None], None), None)]


@dataclass(frozen=True)
class SpeechNetwork:
    """A network on disk, and how to build parts of it.

    Args:
        checkpoint: its files.
        kind: "wav2vec2", "hubert" or "wavlm".
    """

    checkpoint: Checkpoint
    kind: str

    def config(self, layers: int | None = None) -> Any:
        """The network's configuration, cut down to so many layers."""
        module = importlib.import_module(f"transformers.models.{self.kind}.configuration_{self.kind}")
        changes: dict[str, Any] = {"add_adapter": False}  # an adapter on top would change the frame rate
        if layers is not None:
            changes["num_hidden_layers"] = max(layers, 1)
        made = self.checkpoint.configuration(getattr(module, _CLASSES[self.kind] + "Config"), changes)
        if self.kind != "wavlm":
            made._attn_implementation = "sdpa"  # WavLM brings its own attention
        return made

    def trunk(self, cut: int) -> Trunk:
        """Everything below layer `cut`, and the final norm where there is nothing above."""
        model = self._laid_out(cut)
        self._fill(model, ["feature_extractor.", "feature_projection.", "encoder."])
        return Trunk(self._front(model.feature_extractor, model), self._stack(model, 0, cut))

    def top(self, cut: int, depth: int) -> Stack:
        """The layers from `cut` (counted from 0) up to `depth`, and the final norm where there is nothing above."""
        model = self._laid_out(depth)
        parts = [f"encoder.layers.{i}." for i in range(cut, depth)]
        if depth == self.config().num_hidden_layers:
            parts.append("encoder.layer_norm.")
        if self.kind == "wavlm":
            parts.append("encoder.layers.0.attention.rel_attn_embed.")
        self._fill(model, parts)
        return self._stack(model, cut, depth)

    def front(self, train_cnn: bool) -> Front:
        """What stands before the layers, to be trained; the convolutions only if asked for."""
        model = self._laid_out(1)
        norm = [] if model.config.do_stable_layer_norm else ["encoder.layer_norm."]
        self._fill(model, ["feature_projection.", "encoder.pos_conv_embed.", *norm, *(["feature_extractor."] if train_cnn else [])])
        return self._front(model.feature_extractor if train_cnn else OffTree(self.cnn), model)

    def cnn(self) -> nn.Module:
        """The convolutions alone, frozen."""
        model = self._laid_out(1)
        self._fill(model, ["feature_extractor."])
        model.feature_extractor._freeze_parameters()
        cnn: nn.Module = model.feature_extractor
        return cnn

    def _laid_out(self, layers: int) -> Any:
        module = importlib.import_module(f"transformers.models.{self.kind}.modeling_{self.kind}")
        config = self.config(layers)
        with torch.device("meta"):
            return getattr(module, _CLASSES[self.kind] + "Model")(config)

    def _fill(self, model: nn.Module, parts: Sequence[str]) -> None:
        fill(model, self.checkpoint, parts, (f"{self.kind}.", ""))

    @staticmethod
    def _front(cnn: nn.Module | OffTree, model: Any) -> Front:
        return Front(cnn, model, None if model.config.do_stable_layer_norm else model.encoder.layer_norm)

    def _stack(self, model: Any, cut: int, depth: int) -> Stack:
        final = model.config.do_stable_layer_norm and depth == self.config().num_hidden_layers
        relative = self.kind == "wavlm"
        bias = relative_bias(model.encoder.layers[0].attention, model.config.max_bucket_distance) if relative and cut else None
        return Stack(model.encoder.layers[cut:depth], model.encoder.layer_norm if final else None, bias, relative)


_CLASSES = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}
