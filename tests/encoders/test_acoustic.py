"""The acoustic encoder: its columns mean what they say, silence and length do not disturb them."""

from __future__ import annotations

import numpy as np
import pytest

from sere_core.config.model import Features
from sere_core.features import contours
from sere_plugins.encoders import acoustic, acoustic_descriptors
from sere_plugins.encoders.acoustic import NAMES, Acoustic, masks
from sere_plugins.encoders.acoustic_descriptors import spectral
from sere_plugins.specs.encoders import AcousticParams
from sere_registry import BuildContext

RATE = 16_000


def build(rate: int = 25) -> Acoustic:
    return Acoustic(AcousticParams.model_validate({"rate": rate}), BuildContext("acoustic"))


def voice(seconds: float, hz: float = 200.0, level: float = 0.1) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    hum = np.random.default_rng(0).normal(0, 0.001, len(time))
    return (level * (sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 16)) + hum)).astype(np.float32)


def pitch(samples: np.ndarray, hz: float, voiced: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Contours of a known pitch, so that tests need no network."""
    places = np.minimum(np.arange(1 + len(samples) // 320) * 320, len(samples) - 1)
    periodicity = np.full(len(places), 0.95) if voiced is None else np.where(voiced[places], 0.95, 0.0)
    return {"f0": np.full(len(places), hz, np.float32), "periodicity": periodicity.astype(np.float32)}


def column(frames: np.ndarray, name: str) -> np.ndarray:
    return frames[:, NAMES.index(name)]


@pytest.mark.parametrize("rate", [10, 20, 25, 50, 100])
def test_frames_stand_where_rate_and_offset_say(rate: int) -> None:
    encoder = build(rate)
    samples = np.concatenate([voice(0.5, level=0.01), voice(0.5, level=0.1)])
    frames = encoder.extract(samples, pitch(samples, 200), 0.02)
    assert frames.shape == (rate, encoder.input_dim) and frames.dtype == np.float32
    level = column(frames, "level")
    jump = np.flatnonzero(level > (level[0] + level[-1]) / 2)[0]
    assert abs(encoder.offset + jump / encoder.rate - 0.5) <= 0.5 / rate + 0.02


@pytest.mark.parametrize("seconds", [1 / RATE, 0.005, 0.03, 0.1])
def test_the_shortest_utterances_have_finite_frames(seconds: float) -> None:
    samples = voice(seconds) + 0.01
    frames = build().extract(samples, contours.contours(samples, Features()), 0.02)
    assert len(frames) == int(np.ceil(seconds * 25 - 1e-9)) and np.isfinite(frames).all()
    whispered = build().extract(samples, pitch(samples, 100, np.zeros(len(samples), bool)), 0.02)
    assert np.isfinite(whispered).all()


def test_a_louder_recording_changes_the_loudness_and_no_timbre() -> None:
    samples = voice(0.6)
    quiet, loud = (build().extract(gain * samples, pitch(samples, 200), 0.02) for gain in (0.5, 1.0))
    assert np.median(column(loud, "level") - column(quiet, "level")) == pytest.approx(6.02, abs=0.1)
    for name in ("centroid", "alpha", "mfcc2", "h1h2, voiced", "hnr, voiced", "formant1, voiced", "loudness, spread"):
        np.testing.assert_allclose(column(loud, name), column(quiet, name), rtol=0.02, atol=0.05)


def test_pitch_and_brightness_land_in_their_columns() -> None:
    low, high = (build().extract(voice(0.6, hz), pitch(voice(0.6, hz), hz), 0.02) for hz in (110, 220))
    assert np.median(column(high, "f0, voiced") - column(low, "f0, voiced")) == pytest.approx(12, abs=0.1)  # an octave in semitones
    assert column(high, "f0 p50")[0] - column(low, "f0 p50")[0] == pytest.approx(12, abs=0.1)
    assert np.median(column(high, "hnr, voiced")) > 15
    bright = voice(0.6) + 0.2 * np.sin(2 * np.pi * 4000 * np.arange(9600) / RATE).astype(np.float32)
    assert np.median(column(build().extract(bright, pitch(bright, 200), 0.02), "alpha")) < np.median(column(low, "alpha")) - 10


def test_silence_around_speech_does_not_change_its_mean() -> None:
    samples = voice(1.0)
    hush = np.random.default_rng(1).normal(0, 1e-5, RATE).astype(np.float32)
    padded = np.concatenate([hush, samples, hush])
    voiced = np.concatenate([np.zeros(RATE, bool), np.ones(RATE, bool), np.zeros(RATE, bool)])
    tight = build().extract(samples, pitch(samples, 200), 0.02).mean(axis=0)
    loose = build().extract(padded, pitch(padded, 200, voiced), 0.02).mean(axis=0)
    for name in ("loudness", "centroid", "mfcc1", "f0, voiced", "h1h2, voiced", "length"):
        assert loose[NAMES.index(name)] == pytest.approx(tight[NAMES.index(name)], rel=0.05, abs=0.3), name


def test_rhythm_counts_bursts() -> None:
    """Four bursts of 150 ms in 1.2 s: 3.33 voiced stretches per second of speech and silence that is within 35 dB."""
    envelope = np.tile(np.concatenate([np.ones(2400), np.full(2400, 0.05)]), 4)
    samples = (voice(1.2) * envelope).astype(np.float32)
    frames = build().extract(samples, pitch(samples, 200, envelope > 0.5), 0.02)
    assert column(frames, "voiced_rate")[0] == pytest.approx(4 / 1.2, rel=0.1)
    assert column(frames, "peak_rate")[0] == pytest.approx(4 / 1.2, rel=0.1)
    assert column(frames, "voiced_length")[0] == pytest.approx(0.15, abs=0.02)
    assert column(frames, "gap_length")[0] == pytest.approx(0.15, abs=0.02)


def test_statistics_by_cumulative_sums_are_those_of_the_definition() -> None:
    generator = np.random.default_rng(0)
    values = (generator.normal(size=(57, 3)) + 1000).astype(np.float32)
    mask = generator.random(57) > 0.4
    mean, spread = acoustic.around(values, mask, size=4, reach=6)
    gathered = acoustic.grouped(values, mask, size=4)
    assert mean.shape == spread.shape == gathered.shape == (15, 3)
    for row in range(15):
        near = np.flatnonzero(mask & (np.abs(np.arange(57) + 0.5 - (4 * row + 2)) < 6))
        if len(near) >= 3:
            np.testing.assert_allclose(mean[row], values[near].mean(axis=0), rtol=1e-6)
            np.testing.assert_allclose(spread[row], values[near].std(axis=0), rtol=1e-3)
        group = np.flatnonzero(mask[4 * row : 4 * row + 4]) + 4 * row
        np.testing.assert_allclose(gathered[row], values[group if len(group) else mask].mean(axis=0), rtol=1e-6)


def test_formants_of_a_synthetic_vowel() -> None:
    """White noise through two resonances at 500 and 1500 Hz."""
    from scipy.signal import lfilter

    sound = np.random.default_rng(0).normal(size=RATE)
    for hz, width in ((500, 80), (1500, 100), (2500, 150), (3500, 200)):
        radius, angle = np.exp(-np.pi * width / RATE), 2 * np.pi * hz / RATE
        sound = lfilter([1], [1, -2 * radius * np.cos(angle), radius**2], sound)
    sound = (0.1 * sound / np.abs(sound).max()).astype(np.float32)
    found = acoustic_descriptors.voice(sound, np.full(100, 120, np.float32), np.ones(100, np.float32))
    for number, hz in ((1, 500), (2, 1500), (3, 2500)):
        assert np.median(found[f"formant{number}"]) == pytest.approx(hz, rel=0.1)


def test_every_descriptor_has_its_column() -> None:
    samples = voice(0.2)
    count = 20
    found = {**spectral(samples), **acoustic_descriptors.voice(samples, np.full(count, 200, np.float32), np.ones(count, np.float32))}
    assert {values.shape for values in found.values()} == {(count,)}
    assert len(NAMES) == len(set(NAMES))
    assert {name.split(",")[0] for name in NAMES} >= set(found) - {"periodicity"}


def test_speech_is_what_is_near_the_loudest_and_there_is_always_some_voice() -> None:
    level = np.array([-80.0, -30, -25, -25, -31, -90], np.float32)
    active, voiced = masks(level, np.array([0.9, 0.1, 0.2, 0.4, 0.3, 0.9], np.float32))
    assert active.tolist() == [False, True, True, True, True, False]
    assert voiced.tolist() == [False, False, True, True, True, False]  # none above the threshold: the three that come nearest
