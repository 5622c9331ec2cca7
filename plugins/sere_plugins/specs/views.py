"""Views: what they are called and how they are configured.

Defaults of `crop`, `gain`, `feature_dropout` and `jitter` suit a weak view, those of the others a strong one.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from sere_plugins.specs import Declared, component
from sere_registry import param


class Between(Declared):
    """A range to draw from."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high})")
        return self


@component("crop", "views:crop")
class CropParams(Between):
    """a contiguous part of the utterance, at a random place."""

    low: float = param(0.7, "the least share that is kept", gt=0, le=1, search=("uniform", 0.5, 1.0))
    high: float = param(1.0, "the largest share that is kept", gt=0, le=1)
    level: Literal["waveform", "frames"] = param("frames", "what is cropped: samples, or encoder frames")


@component("gain", "views:Gain")
class GainParams(Declared):
    """louder or softer."""

    decibels: float = param(3.0, "the gain is drawn from -decibels to +decibels", ge=0, le=60, search=("uniform", 0.0, 6.0))


@component("noise", "views:Noise")
class NoiseParams(Between):
    """white noise at a random level."""

    low: float = param(10.0, "the least signal-to-noise ratio, dB", ge=-20, le=100, search=("uniform", 0.0, 20.0))
    high: float = param(20.0, "the largest signal-to-noise ratio, dB", ge=-20, le=100)


@component("speed", "views:Speed")
class SpeedParams(Between):
    """faster or slower by resampling, which moves the pitch along, by three semitones at most: f0 carries emotion."""

    low: float = param(0.9, "the slowest speed, as a multiple", ge=0.85, le=1.18)
    high: float = param(1.1, "the fastest speed, as a multiple", ge=0.85, le=1.18)


@component("stretch", "views:Stretch")
class StretchParams(Between):
    """faster or slower at the same pitch, by librosa's phase vocoder."""

    low: float = param(0.8, "the slowest speed, as a multiple", ge=0.5, le=2, search=("uniform", 0.7, 1.0))
    high: float = param(1.25, "the fastest speed, as a multiple", ge=0.5, le=2)


@component("frame_mask", "views:FrameMask", cite="arXiv:1904.08779")
class FrameMaskParams(Declared):
    """masks spans of frames and of features, like SpecAugment."""

    time_share: float = param(0.2, "the largest share of an utterance's frames that is masked", ge=0, lt=1, search=("uniform", 0.0, 0.5))
    time_span: int = param(10, "frames of a time mask", ge=1)
    feature_share: float = param(0.1, "the largest share of the features that is masked", ge=0, lt=1, search=("uniform", 0.0, 0.3))
    feature_span: int = param(8, "neighbouring features of a feature mask", ge=1)
    fill: Literal["zero", "mean"] = param("zero", "what stands in masked places: 0, or the utterance's mean of the feature")


@component("feature_dropout", "views:FeatureDropout")
class FeatureDropoutParams(Declared):
    """drops features of an utterance, in all its frames."""

    share: float = param(0.1, "the chance of a feature to be dropped; 0.4 for a strong view", ge=0, lt=1, search=("uniform", 0.05, 0.5))
    rescale: bool = param(True, "multiply the features that stay by 1 / (1 - share)")


@component("jitter", "views:Jitter")
class JitterParams(Declared):
    """Gaussian noise on the features."""

    sigma: float = param(0.1, "standard deviation of the noise, in units of the (standardised) features", ge=0, search=("log", 0.01, 1.0))
    draw: Literal["frame", "utterance"] = param(
        "frame", "fresh noise for every frame, or one vector for all frames of an utterance, which the mean over frames cannot average out"
    )


CROP = CropParams.spec
GAIN = GainParams.spec
NOISE = NoiseParams.spec
SPEED = SpeedParams.spec
STRETCH = StretchParams.spec
FRAME_MASK = FrameMaskParams.spec
FEATURE_DROPOUT = FeatureDropoutParams.spec
JITTER = JitterParams.spec
