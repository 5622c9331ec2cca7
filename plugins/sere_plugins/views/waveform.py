"""Views of waveforms: 16 kHz mono samples, `[N]` float32, in and out."""

from __future__ import annotations

from typing import Literal

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Generator

from sere_plugins.specs.views import CropParams, GainParams, NoiseParams, SpeedParams
from sere_plugins.views.draw import uniform, window
from sere_registry import BuildContext

Samples = NDArray[np.float32]


def decibels(value: float) -> float:
    """The factor of amplitude that a level in dB stands for."""
    return float(10.0 ** (value / 20.0))


class WaveformView:
    """What is altered are samples."""

    level: Literal["waveform"] = "waveform"


class WaveformCrop(WaveformView):
    """Keeps a contiguous part of the samples."""

    def __init__(self, params: CropParams, context: BuildContext) -> None:
        self.low, self.high = params.low, params.high

    def __call__(self, frames: Samples, generator: Generator) -> Samples:
        start, end = window(len(frames), self.low, self.high, generator)
        return frames[start:end]


class Gain(WaveformView):
    """Multiplies the samples by a gain drawn evenly in dB; nothing is clipped."""

    def __init__(self, params: GainParams, context: BuildContext) -> None:
        self.decibels = params.decibels

    def __call__(self, frames: Samples, generator: Generator) -> Samples:
        return frames * np.float32(decibels(uniform(-self.decibels, self.decibels, generator)))


class Noise(WaveformView):
    """Adds white Gaussian noise at a signal-to-noise ratio drawn evenly in dB; silence stays silent."""

    def __init__(self, params: NoiseParams, context: BuildContext) -> None:
        self.low, self.high = params.low, params.high

    def __call__(self, frames: Samples, generator: Generator) -> Samples:
        ratio = uniform(self.low, self.high, generator)
        power = float(np.sqrt(np.mean(np.square(frames, dtype=np.float64))))
        noise: Samples = torch.randn(len(frames), generator=generator, device=generator.device).cpu().numpy()
        return frames + np.float32(power / decibels(ratio)) * noise


class Speed(WaveformView):
    """Plays faster or slower by resampling: `[N]` becomes about `[N / speed]`.

    Pitch moves with speed (10 % is 1.7 semitones), and f0 carries emotion: keep the range small.
    """

    def __init__(self, params: SpeedParams, context: BuildContext) -> None:
        self.low, self.high = params.low, params.high

    def __call__(self, frames: Samples, generator: Generator) -> Samples:
        speed = uniform(self.low, self.high, generator)
        resampled: Samples = soxr.resample(np.ascontiguousarray(frames, dtype=np.float32), speed, 1.0)
        return resampled if len(resampled) else frames  # a handful of samples may vanish
