"""Views of frames: every utterance of a batch gets draws of its own, over its real frames; padding stays as it is.

Draws are made per utterance and not for the padded rectangle, so that they do not depend on how much a batch is padded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Generator

from sere_plugins.specs.views import CropParams, FeatureDropoutParams, FrameMaskParams, JitterParams
from sere_plugins.views.draw import spans, window
from sere_plugins.views.waveform import WaveformCrop
from sere_registry import BuildContext, Frames


class FrameView:
    """What is altered are frames."""

    level: Literal["frames"] = "frames"


class FrameCrop(FrameView):
    """Keeps a contiguous part of the frames; those outside it become padding.

    Nothing moves, so contours that lie on the same grid stay with their frames.
    """

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


def crop(params: CropParams, context: BuildContext) -> WaveformCrop | FrameCrop:
    """The crop of the level that the parameters name."""
    return WaveformCrop(params, context) if params.level == "waveform" else FrameCrop(params, context)


class FrameMask(FrameView):
    """Masks spans of frames and bands of features, after SpecAugment (arXiv:1904.08779).

    Spans have a fixed width, where SpecAugment draws it; no time warping.  Masked frames stay in the sequence, and at least
    one real frame and one feature are left as they are.
    """

    def __init__(self, params: FrameMaskParams, context: BuildContext) -> None:
        self.params = params

    def __call__(self, frames: Frames, generator: Generator) -> Frames:
        params, values = self.params, frames.values.clone()
        for row, mask in enumerate(frames.mask):
            real = values[row, mask]
            rows = spans(len(real), params.time_share, params.time_span, generator).to(values.device)
            columns = spans(real.shape[1], params.feature_share, params.feature_span, generator).to(values.device)
            fill = real.mean(dim=0) if params.fill == "mean" else real.new_zeros(real.shape[1])
            values[row, mask] = torch.where(rows[:, None] | columns[None, :], fill, real)
        return replace(frames, values=values)


class FeatureDropout(FrameView):
    """Drops features of an utterance in all its frames: dropping them frame by frame would average out in the mean over frames."""

    def __init__(self, params: FeatureDropoutParams, context: BuildContext) -> None:
        self.share, self.scale = params.share, 1.0 / (1.0 - params.share) if params.rescale else 1.0

    def __call__(self, frames: Frames, generator: Generator) -> Frames:
        values = frames.values
        shape = (len(values), 1, values.shape[2])
        kept = (torch.rand(shape, generator=generator, device=generator.device) >= self.share).to(values.device)
        return replace(frames, values=torch.where(frames.mask.unsqueeze(-1), values * kept * self.scale, values))


class Jitter(FrameView):
    """Adds Gaussian noise to the features."""

    def __init__(self, params: JitterParams, context: BuildContext) -> None:
        self.params = params

    def __call__(self, frames: Frames, generator: Generator) -> Frames:
        values = frames.values.clone()
        for row, mask in enumerate(frames.mask):
            count = int(mask.sum()) if self.params.draw == "frame" else 1
            noise = torch.randn(count, values.shape[2], generator=generator, device=generator.device).to(values)
            values[row, mask] += self.params.sigma * noise
        return replace(frames, values=values)
