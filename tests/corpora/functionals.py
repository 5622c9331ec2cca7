"""A few dozen classic functionals of f0, energy and spectrum, standardised per speaker: what a baseline hears."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import soundfile
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from sere_registry import Utterance

Array = NDArray[np.float64]
WINDOW, HOP, RATE = 640, 160, 16000
BANDS = ((0, 500), (500, 1000), (1000, 2000), (2000, 4000), (4000, 8000))


def functionals(samples: Array) -> Array:
    """Means, spreads and slopes of pitch, level and band energies over the frames of an utterance."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, (0, WINDOW)), WINDOW)[::HOP] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, 2048)) ** 2
    lags = np.fft.irfft(power)[:, RATE // 500 : RATE // 60] / (frames**2).sum(axis=1, keepdims=True).clip(1e-9)
    level = 10 * np.log10(power.mean(axis=1) + 1e-10)
    loud = level > np.percentile(level, 95) - 30
    voiced = loud & (lags.max(axis=1) > 0.45)
    voiced = voiced if voiced.sum() >= 5 else loud
    pitch = 12 * np.log2(RATE / (lags.argmax(axis=1) + RATE // 500) / 100)[voiced]
    bins = np.fft.rfftfreq(2048, 1 / RATE)
    bands = [10 * np.log10(power[:, (bins >= low) & (bins < high)].sum(axis=1) + 1e-10) - level for low, high in BANDS]
    centroid = (power * bins).sum(axis=1) / (power.sum(axis=1) + 1e-12)
    tracks = np.stack([level, centroid, lags.max(axis=1), *bands])[:, loud]
    found = [tracks.mean(axis=1), tracks.std(axis=1), np.percentile(tracks, 90, axis=1) - np.percentile(tracks, 10, axis=1)]
    found += [np.percentile(pitch, [10, 50, 90]), np.array([pitch.mean(), pitch.std(), np.abs(np.diff(pitch)).mean()])]
    found += [np.array([pitch[-max(1, len(pitch) // 5) :].mean() - pitch.mean(), np.abs(np.diff(level[loud])).mean()])]
    found += [np.array([voiced.mean(), loud.mean(), len(samples) / RATE])]
    return np.concatenate(found)


def table(utterances: Sequence[Utterance]) -> tuple[Array, NDArray[np.str_]]:
    """Functionals standardised per speaker `[n, F]`, and emotions `[n]`."""
    rows = np.stack([functionals(soundfile.read(utterance.recording.path)[0]) for utterance in utterances])
    speakers = np.array([utterance.speaker for utterance in utterances])
    for speaker in set(speakers):
        mine = speakers == speaker
        rows[mine] = (rows[mine] - rows[mine].mean(axis=0)) / (rows[mine].std(axis=0) + 1e-9)
    return rows, np.array([utterance.emotion for utterance in utterances])


def uar(source: tuple[Array, NDArray[np.str_]], target: tuple[Array, NDArray[np.str_]], shots: int | None, draws: int = 1) -> float:
    """Unweighted average recall on the target of a logistic regression on the source; the mean over draws of the shots."""
    rng = np.random.default_rng(0)
    (rows, labels), (tested, truth) = source, target
    scores = []
    for _ in range(draws):
        picks = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        chosen = np.concatenate([pick if shots is None else rng.choice(pick, shots, replace=False) for pick in picks])
        guesses = LogisticRegression(C=0.03, max_iter=2000).fit(rows[chosen], labels[chosen]).predict(tested)
        scores.append(np.mean([np.mean(guesses[truth == label] == label) for label in np.unique(truth)]))
    return float(np.mean(scores))
