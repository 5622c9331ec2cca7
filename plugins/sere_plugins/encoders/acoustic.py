"""The default encoder: acoustic descriptors of each frame, of its surroundings and of the whole utterance.

In the spirit of eGeMAPS (Eyben et al. 2016): the mean over frames carries what functionals of an utterance carry, and yet the
frames differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from sere_core.public import SAMPLE_RATE, on_grid
from sere_plugins.encoders import acoustic_context as context_of
from sere_plugins.encoders.acoustic_spectrum import SPECTRAL, STEP, spectral
from sere_plugins.encoders.acoustic_voice import VOICE, voice
from sere_plugins.specs.encoders import AcousticParams
from sere_registry import BuildContext, Frames
from sere_registry.protocols import ContourName

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: changes whenever `extract` returns other numbers for the same audio
VERSION = 1
#: descriptors per second before they are gathered into frames
BASE = SAMPLE_RATE // STEP
#: speech is what lies within this many dB of the utterance's 95th percentile; voiced is what of it is this periodic
RANGE, VOICED = 35.0, 0.5
#: descriptors (10 ms each) to both sides of a frame that make its surroundings
REACH = 25

_PERCENTILES = ("p5", "p20", "p50", "p80", "p95", "p20-80", "p5-95")
_SLOPES = ("rise", "rise_spread", "fall", "fall_spread")
_RHYTHM = ("peak_rate", "voiced_rate", "voiced_length", "voiced_spread", "gap_length", "gap_spread", "voiced_share", "length", "log_length")

#: what stands in each column
NAMES: tuple[str, ...] = (
    *(f"{name}" for name in SPECTRAL),
    *(f"{name}, voiced" for name in SPECTRAL + VOICE),
    *(f"{name}, spread around" for name in SPECTRAL),
    *(f"{name}, voiced, {what} around" for what in ("mean", "spread") for name in VOICE),
    *(f"{name}, spread" for name in SPECTRAL),
    *(f"{name}, voiced, spread" for name in SPECTRAL + VOICE),
    *(f"{name} {statistic}" for name in ("f0", "loudness") for statistic in _PERCENTILES + _SLOPES),
    *_RHYTHM,
)


class Acoustic(nn.Module):
    """Descriptors of spectrum and voice every 10 ms, gathered into frames with statistics; frozen.

    Where there is no voice, columns of the voice hold their mean over voiced frames: a neutral value.

    >>> encoder = Acoustic(AcousticParams(), BuildContext("acoustic"))
    >>> contours = {"f0": np.full(51, 200, np.float32), "periodicity": np.ones(51, np.float32)}
    >>> noise = np.random.default_rng(0).normal(size=16000).astype(np.float32)
    >>> encoder.extract(noise, contours, hop=0.02).shape == (25, encoder.input_dim)
    True
    """

    contours: tuple[ContourName, ...] = ("f0", "periodicity")
    normalise = True
    input_dim = dim = len(NAMES)

    def __init__(self, params: AcousticParams, context: BuildContext) -> None:
        super().__init__()
        self.rate = float(params.rate)
        self.offset = 0.5 / params.rate
        self._size = BASE // params.rate

    def fingerprint(self) -> Mapping[str, Any]:
        """The version of the descriptors, their number and the frame rate."""
        return {"version": VERSION, "columns": self.input_dim, "rate": self.rate}

    def extract(self, waveform: NDArray[np.float32], contours: Mapping[str, NDArray[np.float32]], hop: float) -> NDArray[np.float32]:
        """`[ceil(seconds * rate), F]`, the columns as in `NAMES`."""
        count = -(-len(waveform) // STEP)
        f0, periodicity = (on_grid(contours[name], hop, BASE, 0.5 / BASE, count) for name in self.contours)
        sound = spectral(waveform)
        spectrum = np.stack([sound[name] for name in SPECTRAL], axis=1)
        speaking = voice(waveform, f0, periodicity)
        both = np.concatenate([spectrum, np.stack([speaking[name] for name in VOICE], axis=1)], axis=1)
        active, voiced = masks(sound["level"], periodicity)
        voice_only = both[:, len(SPECTRAL) :]
        frames = [
            context_of.grouped(spectrum, active, self._size),
            context_of.grouped(both, voiced, self._size),
            context_of.around(spectrum, active, self._size, REACH)[1],
            *context_of.around(voice_only, voiced, self._size, REACH),
        ]
        whole = [
            *spectrum[active].std(axis=0),
            *both[voiced].std(axis=0),
            *context_of.percentiles(speaking["f0"][voiced]),
            *context_of.slopes(speaking["f0"][voiced], BASE),
            *context_of.percentiles(sound["loudness"][active]),
            *context_of.slopes(sound["loudness"][active], BASE),
            *context_of.rhythm(sound["loudness"], active, voiced, BASE),
        ]
        rows = np.broadcast_to(np.array(whole, dtype=np.float32), (len(frames[0]), len(whole)))
        return np.concatenate([*frames, rows], axis=1)

    def lengths(self, lengths: Tensor) -> Tensor:
        """The same."""
        return lengths

    def forward(self, frames: Frames) -> Frames:
        """The same: nothing is trained."""
        return frames


def masks(level: NDArray[np.float32], periodicity: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which descriptors belong to speech, and which of these to voice; never none, so that every mean exists.

    A pause does not describe an emotion but a corpus: some cut their recordings tightly, some leave seconds of silence.
    """
    active = level > np.percentile(level, 95) - RANGE
    voiced = active & (periodicity > VOICED)
    if voiced.sum() < context_of.FEW:  # whispered, or too short: what comes nearest to a voice
        voiced = np.zeros_like(active)
        voiced[np.argsort(-np.where(active, periodicity, -1.0), kind="stable")[: context_of.FEW]] = True
    return active | voiced, voiced
