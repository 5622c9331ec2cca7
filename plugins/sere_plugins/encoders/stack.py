"""Transformer layers of a pretrained network, from one layer to another."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class Stack(nn.Module):
    """Some layers in a row, and the network's final norm if they reach its end.

    The layers are called one by one, so layer drop and SpecAugment, which live in the networks around them, do not occur;
    dropout is the checkpoint's, and off in eval mode.

    Args:
        layers: of the network.
        norm: the final norm, or None.
        bias: the relative position bias that WavLM's first layer would hand on, where that layer is not among these:
            `[heads, 2 M + 1]`, for relative positions from -M to M, beyond which it is constant.
        relative: do the layers take and return a position bias?
    """

    bias: Tensor | None

    def __init__(self, layers: Iterable[nn.Module], norm: nn.Module | None, bias: Tensor | None = None, relative: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = norm
        self.relative = relative
        self.register_buffer("bias", bias, persistent=False)
        if relative:  # WavLM gives torch a mask of booleans and a bias of numbers, which is right, and warned of at every step
            warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask and attn_mask")
        signature = inspect.signature(type(self.layers[0]).forward).parameters if len(self.layers) else {}
        self._also: dict[str, Any] = {"layer_head_mask": None} if "layer_head_mask" in signature else {}

    def forward(self, values: Tensor, mask: Tensor | None) -> list[Tensor]:
        """All hidden states `[B, T, H]`: what enters, and what leaves each layer (the last after the norm, if there is one).

        `mask` is `[B, T]`, True on frames that are attended to; None for all.
        """
        if mask is not None:  # attention weighs padding with 0, which does not silence NaN
            values = values.masked_fill(~mask.unsqueeze(-1), 0.0)
        states = [values]
        bias = self._position_bias(values)
        everyone = None if mask is None or self.relative else mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1)
        for layer in self.layers:
            if self.relative:
                values, bias = layer(values, attention_mask=mask, position_bias=bias)[:2]
            else:
                out = layer(values, attention_mask=everyone, **self._also)
                values = out[0] if isinstance(out, tuple) else out
            states.append(values)
        if self.norm is not None:
            states[-1] = self.norm(values)
        return states

    def _position_bias(self, values: Tensor) -> Tensor | None:
        """What WavLM's layers expect of the layers before them: `[B * heads, T, T]`, the same for every utterance."""
        table = self.bias
        if table is None:
            return None
        reach, steps = table.shape[1] // 2, torch.arange(values.shape[1], device=values.device)
        apart = (steps[None, :] - steps[:, None]).clamp(-reach, reach) + reach
        return table[:, apart].repeat(values.shape[0], 1, 1)


def relative_bias(attention: Any, reach: int) -> Tensor:
    """The position bias of a WavLM attention for relative positions from -reach to reach, `[heads, 2 reach + 1]`.

    The bias depends on the relative position alone and is constant beyond the network's largest distance, so one row and one
    column of the network's own matrix say all of it.
    """
    with torch.no_grad():
        ahead = attention.compute_bias(1, reach + 1)[:, 0, :]
        behind = attention.compute_bias(reach + 1, 1)[:, 1:, 0].flip(-1)
        return torch.cat([behind, ahead], dim=-1)
