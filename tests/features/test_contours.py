"""The static contours: right for sounds whose contours are known, on the grid k * hop, and cheap in silence."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sere_core.config.model import Features
from sere_core.content import Contents
from sere_core.features import audio, contours, crepe, pitch, swift
from sere_core.features.extract import Keys
from sere_registry import Recording, SereError

RATE = 16_000


def voice(seconds: float, hz: float = 200.0) -> np.ndarray:
    """A harmonic tone: 20 harmonics that fall by 6 dB per octave."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.1 * sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 21))).astype(np.float32)


@pytest.mark.parametrize("by", ["crepe_tiny", "swift"])
@pytest.mark.parametrize("hz", [90.0, 200.0, 450.0])
def test_f0_of_a_harmonic_tone(hz: float, by: str) -> None:
    found = contours.contours(voice(0.6, hz), Features(pitch=by))
    inside = slice(3, -3)
    np.testing.assert_allclose(found["f0"][inside], hz, rtol=0.02)
    assert found["periodicity"][inside].min() > 0.6


@pytest.mark.parametrize("by", ["crepe_tiny", "swift"])
def test_noise_is_not_periodic(by: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE // 2).astype(np.float32)
    assert contours.contours(noise, Features(pitch=by))["periodicity"].mean() < 0.3


def test_all_contours_stand_on_the_grid(hop: float = 0.02) -> None:
    samples = np.concatenate([0.1 * voice(0.5), voice(0.5, 300)])
    found = contours.contours(samples, Features(hop=hop))
    assert set(found) == {"f0", "periodicity", "rms", "mfcc2", "centroid"}
    assert {(values.dtype, values.shape) for values in found.values()} == {(np.dtype(np.float32), (51,))}
    assert found["rms"][40] == pytest.approx(np.sqrt(np.mean(samples[8000:] ** 2)), rel=0.05)
    louder_from = np.flatnonzero(found["rms"] > 0.5 * found["rms"][40])[0]
    assert abs(louder_from * hop - 0.5) <= hop


def test_centroid_and_tilt_tell_bright_from_dark() -> None:
    time = np.arange(RATE // 2) / RATE
    dark, bright = (0.1 * np.sin(2 * np.pi * hz * time).astype(np.float32) for hz in (300, 3000))
    low, high = (contours.compute("spectral", sound, Features()) for sound in (dark, bright))
    assert np.median(high["rms"]) == pytest.approx(0.1 / np.sqrt(2), rel=0.02)
    assert np.median(high["centroid"]) == pytest.approx(3000, rel=0.05)
    assert np.median(low["centroid"]) == pytest.approx(300, rel=0.1)
    assert np.median(low["mfcc2"]) > np.median(high["mfcc2"])


def test_a_hop_that_is_no_whole_number_of_samples_keeps_its_grid() -> None:
    samples = voice(0.5, 220)
    found = contours.compute("spectral", samples, Features(hop=0.0333))
    assert [each.shape for each in found.values()] == [(1 + int(0.5 / 0.0333),)] * 3


def test_interpolation_to_encoder_frames_holds_the_ends() -> None:
    ramp = np.arange(5, dtype=np.float32)  # 0, 1, .. 4 at 0, 20, .. 80 ms
    np.testing.assert_allclose(contours.on_grid(ramp, 0.02, rate=25.0, offset=0.02, n=4), [1, 3, 4, 4])


def test_silence_costs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    original = pitch.posteriors
    monkeypatch.setattr(pitch, "posteriors", lambda frames, capacity: asked.append(len(frames)) or original(frames, capacity))
    hiss = np.random.default_rng(0).normal(0, 1e-5, RATE).astype(np.float32)
    f0, periodicity = pitch.track(np.concatenate([hiss, voice(0.4), hiss]), 320, "crepe_tiny")
    assert sum(asked) <= 0.4 * 50 + 4  # of 121 frames
    assert periodicity[:45].max() == 0.0
    np.testing.assert_allclose(f0[:45], f0[50], rtol=0.1)  # held, not fluctuating
    asked.clear()
    assert not pitch.track(np.zeros(RATE, np.float32), 320, "crepe_tiny")[0].any()
    assert asked == []


def test_swift_is_asked_on_our_grid_and_hears_nothing_in_silence() -> None:
    sound = np.concatenate([np.zeros(RATE // 2, np.float32), voice(0.6, 150), voice(0.6, 300)])
    for step in (160, 320, 333):
        f0, periodicity = pitch.track(sound, step, "swift")
        assert len(f0) == len(periodicity) == 1 + len(sound) // step
        times = np.arange(len(f0)) * step / RATE
        low, high = (times > 0.56) & (times < 1.04), (times > 1.16) & (times < 1.64)
        np.testing.assert_allclose(f0[low], 150, rtol=0.02)
        np.testing.assert_allclose(f0[high], 300, rtol=0.02)
        assert periodicity[times < 0.4].max() == 0 and (f0[times < 0.4] > 0).all()
    for silent in (np.zeros(RATE, np.float32), np.zeros(0, np.float32)):
        assert not np.stack(pitch.track(silent, 320, "swift")).any()
    assert len(pitch.track(voice(0.01), 320, "swift")[0]) == 1


def test_without_its_extra_swift_is_refused_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(swift, "distribution", missing)
    with pytest.raises(SereError) as raised:
        contours.weights("pitch", Features(pitch="swift"))
    assert (raised.value.problems[0].code, raised.value.problems[0].hint) == ("P108", 'pip install "sere[swift]"')


def test_what_finds_f0_is_in_the_key(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", voice(0.2), RATE)
    recording = Recording("a", tmp_path / "a.wav", "c", "de", "")
    keys = [Keys({}, Features(pitch=by), Contents(tmp_path))(recording, "0", "pitch") for by in ("crepe_tiny", "crepe_full", "swift")]
    assert len(set(keys)) == 3


def test_the_network_is_that_of_torchcrepe_and_batches_change_nothing() -> None:
    import torchcrepe

    samples = torch.from_numpy(voice(0.3, 180))[None]
    frames = next(torchcrepe.preprocess(samples, RATE, 320))
    theirs = torchcrepe.infer(frames, "tiny").detach().numpy()
    raw = np.lib.stride_tricks.sliding_window_view(np.pad(samples[0].numpy(), 512), 1024)[::320]
    ours = crepe.posteriors(raw, "tiny")
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([crepe.posteriors(raw[k : k + 1], "tiny") for k in range(3)]), ours[:3], atol=1e-6)


def test_the_full_network_too_is_that_of_torchcrepe() -> None:
    import torchcrepe

    raw = np.lib.stride_tricks.sliding_window_view(voice(0.1, 310), 1024)[::320]
    standard = torch.from_numpy((raw - raw.mean(axis=1, keepdims=True)) / raw.std(axis=1, ddof=1, keepdims=True))
    np.testing.assert_allclose(crepe.posteriors(raw, "full"), torchcrepe.infer(standard, "full").detach().numpy(), atol=1e-5)


def test_the_decoder_prefers_a_smooth_path_to_an_octave_jump() -> None:
    posterior = np.full((7, 360), 0.01, np.float32)
    posterior[:, 150] = 0.8
    posterior[3, 150], posterior[3, 210] = 0.5, 0.6  # for one frame, the octave above seems a little likelier
    f0, periodicity = pitch.decode(posterior)
    np.testing.assert_allclose(f0, f0[0], rtol=0.01)
    assert periodicity[3] == pytest.approx(0.5)


def test_the_same_audio_gives_the_same_bits() -> None:
    samples = voice(0.3) + np.random.default_rng(1).normal(0, 0.02, round(0.3 * RATE)).astype(np.float32)
    first, second = (contours.contours(samples, Features()) for _ in range(2))
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])


@pytest.mark.real
def test_untouched_files_come_out_as_16_kilohertz_mono_and_real_voices_have_a_pitch() -> None:
    """Needs SERE_DATA with a folder `originals` of WAV files: 48 kHz, stereo, 16 kHz."""
    files = sorted(Path(os.environ["SERE_DATA"], "originals").glob("*.wav")) if "SERE_DATA" in os.environ else []
    if not files:
        pytest.skip("SERE_DATA names no folder with originals/*.wav")
    seen = set()
    for path in files:
        info, recording = soundfile.info(path), Recording(path.stem, path, "originals", "de", "")
        seen.add((info.samplerate, info.channels))
        waveform = audio.read(recording, Features(trim=False))
        assert waveform.samples.ndim == 1 and waveform.facts.seconds == pytest.approx(info.duration, abs=1e-3)
        mixed = soundfile.read(path, always_2d=True)[0].mean(axis=1)
        assert np.sqrt(np.mean(waveform.samples**2)) == pytest.approx(np.sqrt(np.mean(mixed**2)), rel=0.05)
        found = contours.contours(audio.read(recording, Features()).samples, Features())
        voiced = found["periodicity"] > 0.5
        assert 0.1 < voiced.mean() < 0.95 and 80 < np.median(found["f0"][voiced]) < 500
    assert len(seen) > 1
