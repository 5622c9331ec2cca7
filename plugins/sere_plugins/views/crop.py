"""Keeps a contiguous part of each utterance: of its samples, or of its frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Generator

from sere_plugins.specs.views import CropParams
from sere_plugins.views.draw import window
from sere_plugins.views.waveform import Samples
from sere_registry import BuildContext, Frames


class WaveformCrop:
    """`[N]` samples -> a part of them."""

    level: Literal["waveform"] = "waveform"

    def __init__(self, params: CropParams, context: BuildContext) -> None:
        self.low, self.high = params.low, params.high

    def __call__(self, frames: Samples, generator: Generator) -> Samples:
        start, end = window(len(frames), self.low, self.high, generator)
        return frames[start:end]


class FrameCrop:
    """Frames outside the window become padding.

    Nothing moves, so contours that lie on the same grid stay with their frames.
    """

    level: Literal["frames"] = "frames"

    def __init__(self, params: CropParams, context: BuildContext) -> None:
        self.low, self.high = params.low, params.high

    def __call__(self, frames: Frames, generator: Generator) -> Frames:
        kept = torch.zeros_like(frames.mask)
        for row, mask in enumerate(frames.mask):
            real = mask.nonzero().squeeze(1)
            start, end = window(len(real), self.low, self.high, generator)
            kept[row, real[start:end]] = True
        dropped = frames.mask & ~kept
        return replace(frames, values=frames.values.masked_fill(dropped.unsqueeze(-1), 0.0), mask=kept)


def build(params: CropParams, context: BuildContext) -> WaveformCrop | FrameCrop:
    """The crop of the level asked for."""
    return WaveformCrop(params, context) if params.level == "waveform" else FrameCrop(params, context)
