"""Audio inside AVI files, which soundfile cannot read."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from sere_core.config.model import Features
from sere_core.features import audio
from sere_registry import Recording, SereError


def recording(path: Path) -> Recording:
    return Recording(path.stem, path, "enterface", "en", "s1")


def avi(path: Path, samples: np.ndarray, rate: int) -> Path:
    """An AVI file with one stereo track of 16-bit samples `[N, 2]`."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=rate, layout="stereo")
        whole = np.ascontiguousarray((samples * 32767).astype(np.int16).reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(whole, format="s16", layout="stereo")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    return path


def test_the_track_is_mixed_down_and_resampled(tmp_path: Path) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 200 * np.arange(48_000) / 48_000 + 0.3)
    waveform = audio.read(recording(avi(tmp_path / "a.avi", np.stack([tone, tone], axis=1), 48_000)), Features(trim=False))
    assert (waveform.channels, waveform.original_rate, len(waveform.samples)) == (2, 48_000, 16_000)
    np.testing.assert_allclose(waveform.samples[1000:-1000], tone[::3][1000:-1000], atol=1e-3)


def test_without_pyav_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = avi(tmp_path / "a.avi", np.full((100, 2), 0.1), 48_000)
    monkeypatch.setitem(sys.modules, "av", None)  # makes `import av` fail
    with pytest.raises(SereError) as caught:
        audio.read(recording(path), Features())
    assert caught.value.problems[0].code == "P108"
    assert caught.value.problems[0].hint == 'pip install "sere[avi]"'


def test_a_damaged_avi(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "a.avi").write_bytes(b"RIFF\x10\0\0\0AVI LIST" + bytes(100))
    with pytest.raises(SereError) as caught:
        audio.read(recording(tmp_path / "a.avi"), Features())
    assert caught.value.problems[0].code == "D603"
