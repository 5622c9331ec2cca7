"""Static contours of an utterance on the grid k * hop: f0 and periodicity (CREPE or SwiftF0), rms, mfcc2 and centroid (librosa).

The four contours of IDFE, arXiv 2604.07417 section 3 [P], and the periodicity that tells voiced from unvoiced.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sere_core.config.model import Features
from sere_core.features import pitch
from sere_core.features.audio import SAMPLE_RATE
from sere_registry.protocols import ContourName

#: contours that are computed and cached together
GROUPS: dict[str, tuple[ContourName, ...]] = {
    "pitch": ("f0", "periodicity"),
    "spectral": ("rms", "mfcc2", "centroid"),
}

#: samples (32 ms) in the window of rms, mfcc2 and centroid: short, since what counts is their change from frame to frame
WINDOW = 512


def weights(group: str, options: Features) -> tuple[Path, ...]:
    """The files that a group's contours depend on beside the audio and the code."""
    return pitch.weights(options.pitch) if group == "pitch" else ()


def compute(group: str, samples: NDArray[np.float32], options: Features) -> dict[str, NDArray[np.float32]]:
    """The contours of a group, each `[Tc]`, value k at k * hop seconds; `Tc = 1 + N // hop`."""
    step = max(1, round(options.hop * SAMPLE_RATE))
    array = np.stack(pitch.track(samples, step, options.pitch)) if group == "pitch" else _spectral(samples, step)
    if step != options.hop * SAMPLE_RATE:  # a hop that is no whole number of samples
        count = 1 + int(len(samples) / (options.hop * SAMPLE_RATE))
        array = np.stack([on_grid(row, step / SAMPLE_RATE, 1.0 / options.hop, 0.0, count) for row in array])
    return dict(zip(GROUPS[group], np.ascontiguousarray(array, dtype=np.float32), strict=True))


def contours(samples: NDArray[np.float32], options: Features) -> dict[str, NDArray[np.float32]]:
    """All contours of an utterance: name -> `[Tc]`; f0 in Hz, centroid in Hz, rms in full scale, periodicity in [0, 1]."""
    return {name: row for group in GROUPS for name, row in compute(group, samples, options).items()}


def on_grid(contour: NDArray[np.float32], hop: float, rate: float, offset: float, n: int) -> NDArray[np.float32]:
    """A contour at the times of n encoder frames, `offset + i / rate` seconds, by linear interpolation; its ends are held.

    >>> on_grid(np.array([0, 1, 2], np.float32), hop=0.02, rate=100.0, offset=0.01, n=4).tolist()
    [0.5, 1.0, 1.5, 2.0]
    """
    times = offset + np.arange(n) / rate
    return np.interp(times / hop, np.arange(len(contour)), contour).astype(np.float32)


def _spectral(samples: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """rms, the 2nd MFCC (spectral tilt) and the spectral centroid."""
    import librosa

    count = 1 + len(samples) // step
    if len(samples) < WINDOW:
        samples = np.pad(samples, (0, WINDOW - len(samples)))
    power = np.abs(librosa.stft(samples, n_fft=WINDOW, hop_length=step)) ** 2
    mel = librosa.feature.melspectrogram(S=power, sr=SAMPLE_RATE, n_mels=40)
    rms = librosa.feature.rms(y=samples, frame_length=WINDOW, hop_length=step)[0]
    mfcc2 = librosa.feature.mfcc(S=librosa.power_to_db(mel, amin=1e-12, top_db=None), n_mfcc=2)[1]
    centroid = librosa.feature.spectral_centroid(S=np.sqrt(power), sr=SAMPLE_RATE)[0]
    return np.stack([rms, mfcc2, centroid])[:, :count]
