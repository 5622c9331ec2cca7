"""The encoders wav2vec2, hubert and wavlm, which share their architecture and the names of its parts."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear, pad
from torch.nn.utils.rnn import pad_sequence

from sere_plugins.encoders.pretrained import OffTree, PretrainedEncoder, Stack
from sere_plugins.specs.encoders import PretrainedParams
from sere_registry import BuildContext, Frames

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.models.wavlm.modeling_wavlm import WavLMAttention


class SpeechFront(nn.Module):
    """Samples -> what enters the first layer: convolutions, projection, position embedding.

    Args:
        cnn: the convolutions: a part of this module, or off its tree where they are frozen.
        model: the network that the other parts come from.
        norm: the norm before the first layer, which only some networks have.
    """

    def __init__(self, cnn: nn.Module | OffTree[nn.Module], model: PreTrainedModel, norm: nn.Module | None) -> None:
        super().__init__()
        self.cnn = cnn
        self.projection = model.feature_projection
        self.positions = model.encoder.pos_conv_embed
        self.norm = norm
        self.dropout = model.encoder.dropout

    def forward(self, samples: Tensor, mask: Tensor | None = None) -> Tensor:
        """`[B, N]` -> `[B, T, H]`; frames outside `mask` `[B, T]` are set to zero before the position embedding reads them."""
        out = self.projection(self.cnn(samples).transpose(1, 2))
        values: Tensor = out[0] if isinstance(out, tuple) else out
        if mask is not None:
            values = values[:, : mask.shape[1]].masked_fill(~mask.unsqueeze(-1), 0.0)
        values = values + self.positions(values)
        if self.norm is not None:
            values = self.norm(values)
        return self.dropout(values)  # type: ignore[no-any-return]


class WavLMStack(Stack):
    """Layers of WavLM, which take a relative position bias from the layer before, and hand it on.

    Args:
        bias: what the network's first layer would hand on, where that layer is not among these: `[heads, 2 M + 1]`, for
            relative positions from -M to M, beyond which it is constant.
    """

    bias: Tensor | None

    def __init__(self, layers: Iterable[nn.Module], norm: nn.Module | None, bias: Tensor | None) -> None:
        super().__init__(layers, norm)
        self.register_buffer("bias", bias, persistent=False)
        # WavLM gives torch a mask of booleans and a bias of numbers, which is right, and warned of at every step
        warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask and attn_mask")

    def run(self, values: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
        bias = None
        if self.bias is not None:  # `[B * heads, T, T]`, the same for every utterance
            reach, steps = self.bias.shape[1] // 2, torch.arange(values.shape[1], device=values.device)
            apart = (steps[None, :] - steps[:, None]).clamp(-reach, reach) + reach
            bias = self.bias[:, apart].repeat(values.shape[0], 1, 1)
        for layer in self.layers:
            values, bias = layer(values, attention_mask=mask, position_bias=bias)[:2]
            yield values


class ConvolutionAsProduct(nn.Module):
    """A convolution over time as one matrix product: in bfloat16 several times as fast as the processor's convolution.

    >>> given = nn.Conv1d(4, 6, kernel_size=3, stride=2)
    >>> samples = torch.randn(2, 4, 10)
    >>> torch.allclose(ConvolutionAsProduct(given)(samples), given(samples), atol=1e-5)
    True
    """

    def __init__(self, given: nn.Conv1d) -> None:
        super().__init__()
        self.size, self.step = given.kernel_size[0], given.stride[0]
        self.weight = nn.Parameter(given.weight.detach().transpose(1, 2).flatten(1).contiguous(), requires_grad=False)
        self.bias = given.bias

    def forward(self, values: Tensor) -> Tensor:
        """`[B, C, T]` -> `[B, O, T']`, laid out as `[B, T', O]`."""
        count = (values.shape[2] - self.size) // self.step + 1
        rows = torch.stack([each.t().contiguous() for each in values.to(self.weight.dtype)])
        taps = [rows[:, tap : tap + (count - 1) * self.step + 1 : self.step] for tap in range(self.size)]
        return linear(torch.cat(taps, dim=2), self.weight, self.bias).transpose(1, 2)


class SpeechEncoder(PretrainedEncoder):
    """What wav2vec 2.0, HuBERT and WavLM share.

    Frames stand every 320 samples (50 Hz); the first looks at samples 0 to 399, so its centre is at 12.5 ms.  An utterance
    shorter than those 400 samples is padded with zeros to one frame.  What an utterance becomes never depends on its
    batch: `extract` takes one at a time, and `forward` masks padding, or runs the convolutions at true lengths where their
    group norm would see it.
    """

    usually_standardises = True
    cnn_names = ("feature_extractor.",)
    layers_name = "encoder.layers"
    norm_name = "encoder.layer_norm"
    prefixes = ("wav2vec2.", "hubert.", "wavlm.", "")

    def __init__(self, params: PretrainedParams, context: BuildContext) -> None:
        super().__init__(params, context)
        config = self.config
        self._convolutions = tuple(zip(config.conv_kernel, config.conv_stride, strict=True))
        self.field = 1  # how many samples one frame looks at
        for kernel, stride in reversed(self._convolutions):
            self.field = (self.field - 1) * stride + kernel
        self.rate = 16000 / math.prod(config.conv_stride)
        self.offset = self.field / 2 / 16000
        self._batchable = config.feat_extract_norm == "layer" and not getattr(config, "conv_pos_batch_norm", False)

    @property
    def norm_is_last(self) -> bool:  # type: ignore[override]
        return bool(self.config.do_stable_layer_norm)

    @property
    def front_names(self) -> tuple[str, ...]:  # type: ignore[override]
        norm = () if self.norm_is_last else (f"{self.norm_name}.",)
        return ("feature_projection.", "encoder.pos_conv_embed.", *norm)

    def model(self) -> PreTrainedModel:
        from transformers import MODEL_MAPPING

        return MODEL_MAPPING[type(self.config)](self.config)

    def build_cnn(self, model: PreTrainedModel) -> nn.Module:
        return model.feature_extractor  # type: ignore[no-any-return]

    def build_front(self, model: PreTrainedModel, cnn: nn.Module | OffTree[nn.Module]) -> nn.Module:
        return SpeechFront(cnn, model, None if self.norm_is_last else model.encoder.layer_norm)

    def in_bfloat16(self, trunk: nn.Sequential) -> nn.Sequential:
        """The first convolution, of one channel, stays in float32: it takes no longer."""
        first, *others = trunk.bfloat16().get_submodule("0.cnn.conv_layers").children()
        first.float()
        for layer in others:
            given = layer.get_submodule("conv")
            assert isinstance(given, nn.Conv1d)
            layer.conv = ConvolutionAsProduct(given)
        return trunk

    def samples(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """The waveform as the network expects it, of at least one frame."""
        values = super().samples(waveform)
        return np.pad(values, (0, max(0, self.field - len(values))))

    def lengths(self, lengths: Tensor) -> Tensor:
        """Rows of `extract` -> frames: the same, or for `train: all` what the convolutions leave of so many samples."""
        return self._frames(lengths.clamp(min=self.field)) if self.train_mode == "all" else lengths

    def _frames(self, lengths: Tensor) -> Tensor:
        """What the convolutions leave of so many samples."""
        for kernel, stride in self._convolutions:
            lengths = torch.div(lengths - kernel, stride, rounding_mode="floor") + 1
        return lengths

    def forward(self, frames: Frames) -> Frames:
        """`[B, T, F]` -> `[B, T', dim]`."""
        if self.front is None:
            return super().forward(frames)
        samples = [one[real, 0] for one, real in zip(frames.values, frames.mask, strict=True)]
        return super().forward(self.embedded(self.front, samples))

    def embedded(self, front: nn.Module, samples: Sequence[Tensor]) -> Frames:
        """Samples, each `[N]` -> what enters the first layer `[B, T, H]`."""
        samples = [pad(one, (0, max(0, self.field - len(one)))) for one in samples]
        counts = self._frames(torch.tensor([len(one) for one in samples], device=samples[0].device))
        mask = torch.arange(int(counts.max()), device=counts.device) < counts[:, None]
        if self._batchable:
            return Frames(front(pad_sequence(samples, batch_first=True), mask), mask, self.rate)
        alone = [front(one[None])[0] for one in samples]
        return Frames(pad_sequence(alone, batch_first=True), mask, self.rate)


class Wav2Vec2(SpeechEncoder):
    """wav2vec 2.0 (arXiv:2006.11477)."""

    kind = "wav2vec2"


class Hubert(SpeechEncoder):
    """HuBERT (arXiv:2106.07447)."""

    kind = "hubert"


class WavLM(SpeechEncoder):
    """WavLM (arXiv:2110.13900): its first layer holds an embedding of relative positions for all of them."""

    kind = "wavlm"
    attention = "eager"  # its own

    def stack_names(self, cut: int, depth: int) -> tuple[str, ...]:
        return (*super().stack_names(cut, depth), "encoder.layers.0.attention.rel_attn_embed.")

    def build_stack(self, model: PreTrainedModel, cut: int, depth: int) -> Stack:
        plain = super().build_stack(model, cut, depth)
        first = model.encoder.layers[0].attention
        bias = relative_bias(first, model.config.max_bucket_distance) if cut else None
        return WavLMStack(plain.layers, plain.norm, bias)


def relative_bias(attention: WavLMAttention, reach: int) -> Tensor:
    """The position bias of a WavLM attention for relative positions from -reach to reach, `[heads, 2 reach + 1]`.

    The bias depends on the relative position alone and is constant beyond the network's largest distance, so one row and one
    column of the network's own matrix say all of it.
    """
    with torch.no_grad():
        ahead = attention.compute_bias(1, reach + 1)[:, 0, :]
        behind = attention.compute_bias(reach + 1, 1)[:, 1:, 0].flip(-1)
        return torch.cat([behind, ahead], dim=-1)
