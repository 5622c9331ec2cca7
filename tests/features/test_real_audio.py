"""Untouched files of real corpora: 48 kHz, stereo, 16 kHz.  Needs SERE_DATA with an `originals/` folder of WAV files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sere_core.config.model import Features
from sere_core.features import audio, contours
from sere_registry import Recording

pytestmark = pytest.mark.real


@pytest.fixture
def originals() -> list[Path]:
    folder = Path(os.environ.get("SERE_DATA", "")) / "originals"
    files = sorted(folder.glob("*.wav")) if "SERE_DATA" in os.environ else []
    if not files:
        pytest.skip("SERE_DATA names no folder with originals/*.wav")
    return files


def test_every_rate_and_number_of_channels_comes_out_as_16_kilohertz_mono(originals: list[Path]) -> None:
    seen = set()
    for path in originals:
        info = soundfile.info(path)
        seen.add((info.samplerate, info.channels))
        waveform = audio.read(Recording(path.stem, path, "originals", "de", ""), Features(trim=False))
        assert waveform.samples.ndim == 1 and waveform.facts.seconds == pytest.approx(info.duration, abs=1e-3)
        mixed = soundfile.read(path, always_2d=True)[0].mean(axis=1)
        assert np.sqrt(np.mean(waveform.samples**2)) == pytest.approx(np.sqrt(np.mean(mixed**2)), rel=0.05)
    assert len(seen) > 1


def test_real_voices_have_a_pitch(originals: list[Path]) -> None:
    for path in originals:
        waveform = audio.read(Recording(path.stem, path, "originals", "de", ""), Features())
        found = contours.contours(waveform.samples, Features())
        voiced = found["periodicity"] > 0.5
        assert 0.1 < voiced.mean() < 0.95
        assert 80 < np.median(found["f0"][voiced]) < 500
