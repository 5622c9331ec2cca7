"""Views: random alterations of waveforms or of frames, all drawn from the generator that the engine passes.

Views of frames draw for every utterance of a batch by itself, over its real frames, so that draws do not depend on how much
a batch is padded; padding stays as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Generic, Literal, TypeVar

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Generator

from sere_plugins.specs.views import (
    CropParams,
    FeatureDropoutParams,
    FrameMaskParams,
    GainParams,
    JitterParams,
    NoiseParams,
    SpeedParams,
    StretchParams,
)
from sere_registry import BuildContext, Frames, Params

P = TypeVar("P", bound=Params)
#: 16 kHz mono, `[N]`
Samples = NDArray[np.float32]


def uniform(low: float, high: float, generator: Generator) -> float:
    """A number from [low, high).

    >>> -1.0 <= uniform(-1.0, 1.0, torch.Generator().manual_seed(0)) < 1.0
    True
    """
    return low + (high - low) * float(torch.rand((), generator=generator, device=generator.device, dtype=torch.float64))


def below(count: int, generator: Generator) -> int:
    """A whole number from 0 to count - 1."""
    return int(torch.randint(count, (), generator=generator, device=generator.device))


def window(length: int, low: float, high: float, generator: Generator) -> tuple[int, int]:
    """Start and end of a contiguous part whose share of `length` is drawn from [low, high); never empty."""
    kept = min(length, max(1, round(length * uniform(low, high, generator))))
    start = below(length - kept + 1, generator)
    return start, start + kept


def spans(length: int, share: float, span: int, generator: Generator) -> torch.Tensor:
    """A bool mask `[length]` that is True on random spans which together cover at most `share` of it.

    As many spans of `span` places as fit into the share; a single shorter one where not even one fits.  They may overlap.
    """
    mask = torch.zeros(length, dtype=torch.bool)
    total = int(share * length)
    width = min(span, total)
    for _ in range(total // width if width else 0):
        start = below(length - width + 1, generator)
        mask[start : start + width] = True
    return mask


def decibels(value: float) -> float:
    """The factor of amplitude that a level in dB stands for."""
    return float(10.0 ** (value / 20.0))


class View(Generic[P]):
    """What every view is built from."""

    def __init__(self, params: P, context: BuildContext) -> None:
        self.params = params


class WaveformView(View[P]):
    """What is altered are samples."""

    level: Literal["waveform"] = "waveform"


class FrameView(View[P]):
    """What is altered are frames."""

    level: Literal["frames"] = "frames"


class WaveformCrop(WaveformView[CropParams]):
    """Keeps a contiguous part of the samples."""

    def __call__(self, frames: Samples, generator: Generator) -> Samples:
        start, end = window(len(frames), self.params.low, self.params.high, generator)
        return frames[start:end]


class Gain(WaveformView[GainParams]):
    """Multiplies the samples by a gain drawn evenly in dB; nothing is clipped."""

    def __call__(self, frames: Samples, generator: Generator) -> Samples:
        return frames * np.float32(decibels(uniform(-self.params.decibels, self.params.decibels, generator)))


class Noise(WaveformView[NoiseParams]):
    """Adds white Gaussian noise at a signal-to-noise ratio drawn evenly in dB; silence stays silent."""

    def __call__(self, frames: Samples, generator: Generator) -> Samples:
        ratio = uniform(self.params.low, self.params.high, generator)
        power = float(np.sqrt(np.mean(np.square(frames, dtype=np.float64))))
        noise: Samples = torch.randn(len(frames), generator=generator, device=generator.device).cpu().numpy()
        return frames + np.float32(power / decibels(ratio)) * noise


class Speed(WaveformView[SpeedParams]):
    """Plays faster or slower by resampling: `[N]` becomes about `[N / speed]`.

    Pitch moves with speed: 10 % is 1.7 semitones.
    """

    def __call__(self, frames: Samples, generator: Generator) -> Samples:
        speed = uniform(self.params.low, self.params.high, generator)
        resampled: Samples = soxr.resample(np.ascontiguousarray(frames, dtype=np.float32), speed, 1.0)
        return resampled if len(resampled) else frames  # a handful of samples may vanish


class Stretch(WaveformView[StretchParams]):
    """Plays faster or slower at the same pitch: `[N]` becomes about `[N / speed]`; what is shorter than a window stays."""

    window = 512  # 32 ms

    def __call__(self, frames: Samples, generator: Generator) -> Samples:
        from librosa.effects import time_stretch  # seconds to import, and no other view needs it

        speed = uniform(self.params.low, self.params.high, generator)
        if len(frames) < self.window:
            return frames
        stretched: Samples = time_stretch(np.ascontiguousarray(frames, dtype=np.float32), rate=speed, n_fft=self.window)
        return stretched


class FrameCrop(FrameView[CropParams]):
    """Keeps a contiguous part of the frames; those outside it become padding.

    Nothing moves, so contours that lie on the same grid stay with their frames.
    """

    def __call__(self, frames: Frames, generator: Generator) -> Frames:
        kept = torch.zeros_like(frames.mask)
        for row, mask in enumerate(frames.mask):
            real = mask.nonzero().squeeze(1)
            start, end = window(len(real), self.params.low, self.params.high, generator)
            kept[row, real[start:end]] = True
        dropped = frames.mask & ~kept
        return replace(frames, values=frames.values.masked_fill(dropped.unsqueeze(-1), 0.0), mask=kept)


def crop(params: CropParams, context: BuildContext) -> WaveformCrop | FrameCrop:
    """The crop of the level that the parameters name."""
    return WaveformCrop(params, context) if params.level == "waveform" else FrameCrop(params, context)


class FrameMask(FrameView[FrameMaskParams]):
    """Masks spans of frames and bands of features, after SpecAugment (arXiv:1904.08779).

    Spans have a fixed width, where SpecAugment draws it; no time warping.  Masked frames stay in the sequence, and at least
    one real frame and one feature are left as they are.
    """

    def __call__(self, frames: Frames, generator: Generator) -> Frames:
        params, values = self.params, frames.values.clone()
        for row, mask in enumerate(frames.mask):
            real = values[row, mask]
            rows = spans(len(real), params.time_share, params.time_span, generator).to(values.device)
            columns = spans(real.shape[1], params.feature_share, params.feature_span, generator).to(values.device)
            fill = real.mean(dim=0) if params.fill == "mean" else real.new_zeros(real.shape[1])
            values[row, mask] = torch.where(rows[:, None] | columns[None, :], fill, real)
        return replace(frames, values=values)


class FeatureDropout(FrameView[FeatureDropoutParams]):
    """Drops features of an utterance in all its frames: dropping them frame by frame would average out in the mean over frames."""

    def __call__(self, frames: Frames, generator: Generator) -> Frames:
        values = frames.values
        shape = (len(values), 1, values.shape[2])
        kept = (torch.rand(shape, generator=generator, device=generator.device) >= self.params.share).to(values.device)
        scale = 1.0 / (1.0 - self.params.share) if self.params.rescale else 1.0
        return replace(frames, values=torch.where(frames.mask.unsqueeze(-1), values * kept * scale, values))


class Jitter(FrameView[JitterParams]):
    """Adds Gaussian noise to the features."""

    def __call__(self, frames: Frames, generator: Generator) -> Frames:
        values = frames.values.clone()
        for row, mask in enumerate(frames.mask):
            count = int(mask.sum()) if self.params.draw == "frame" else 1
            noise = torch.randn(count, values.shape[2], generator=generator, device=generator.device).to(values)
            values[row, mask] += self.params.sigma * noise
        return replace(frames, values=values)
