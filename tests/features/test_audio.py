"""Reading audio: what comes out, and the one line that each kind of broken file gets."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sere_core.config.model import Features
from sere_core.features import audio
from sere_registry import Recording, SereError

RATE = 16_000


def tone(seconds: float, rate: int = RATE, hz: float = 200.0, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate + 0.3)).astype(np.float32)


def recording(path: Path, start: float | None = None, end: float | None = None) -> Recording:
    return Recording(path.stem, path, "corpus", "de", "speaker", start=start, end=end)


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str | None = None) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def problem(path: Path, options: Features | None = None, **part: float) -> str:
    with pytest.raises(SereError) as caught:
        audio.read(recording(path, **part), options or Features())
    line = str(caught.value).splitlines()[0]
    assert line.startswith(f"{path}: [")
    return line.removeprefix(f"{path}: ")


def test_sixteen_kilohertz_mono_comes_out_as_it_is(tmp_path: Path) -> None:
    samples = tone(0.5)
    waveform = audio.read(recording(write(tmp_path / "a.wav", samples, subtype="FLOAT")), Features(trim=False))
    np.testing.assert_array_equal(waveform.samples, samples)
    assert (waveform.seconds, waveform.channels, waveform.original_rate) == (0.5, 1, RATE)


def test_stereo_at_48_kilohertz_is_mixed_down_and_resampled(tmp_path: Path) -> None:
    left = tone(1.0, 48_000)
    path = write(tmp_path / "a.wav", np.stack([left, np.zeros_like(left)], axis=1), 48_000, "FLOAT")
    waveform = audio.read(recording(path), Features(trim=False))
    assert (waveform.channels, waveform.original_rate, len(waveform.samples)) == (2, 48_000, RATE)
    middle = slice(1000, -1000)  # a resampler has nothing beyond the ends to work with
    np.testing.assert_allclose(waveform.samples[middle], tone(1.0)[middle] / 2, atol=1e-3)


def test_flac_is_read_like_wav(tmp_path: Path) -> None:
    steps = (tone(0.3) * 32767).astype(np.int16)
    as_wav, as_flac = (audio.read(recording(write(tmp_path / name, steps)), Features()) for name in ("a.wav", "a.flac"))
    assert as_wav.digest == as_flac.digest


def test_the_digest_is_that_of_the_samples_not_of_the_name(tmp_path: Path) -> None:
    first, same = (audio.read(recording(write(tmp_path / name, tone(0.3))), Features()) for name in ("a.wav", "b.wav"))
    other = audio.read(recording(write(tmp_path / "c.wav", tone(0.3, hz=201))), Features())
    assert first.digest == same.digest != other.digest


def test_a_part_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.concatenate([tone(0.5, hz=200), tone(0.5, hz=300)]), subtype="FLOAT")
    waveform = audio.read(recording(path, start=0.5, end=0.9), Features(trim=False))
    np.testing.assert_array_equal(waveform.samples, tone(0.5, hz=300)[: round(0.4 * RATE)])


def test_digital_silence_is_trimmed_from_both_ends_and_counted(tmp_path: Path) -> None:
    nothing, inside = np.zeros(RATE // 2, np.float32), np.zeros(100, np.float32)
    whisper = np.full(RATE // 4, 2e-5, np.float32)  # below -90 dBFS
    sound = np.concatenate([tone(0.2), inside, tone(0.2)])
    path = write(tmp_path / "a.wav", np.concatenate([nothing, whisper, sound, nothing]), subtype="FLOAT")
    waveform = audio.read(recording(path), Features())
    np.testing.assert_array_equal(waveform.samples, sound)
    assert waveform.trimmed_seconds == pytest.approx(1.25)
    assert audio.read(recording(path), Features(trim=False)).seconds == pytest.approx(1.25 + len(sound) / RATE)


def test_what_is_longer_than_max_seconds_is_cut_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(1.5, 48_000), 48_000)
    waveform = audio.read(recording(path), Features(max_seconds=1.0))
    assert (waveform.seconds, waveform.cut_seconds) == (pytest.approx(1.0, abs=1e-3), pytest.approx(0.5, abs=1e-3))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.wav", b"", "[D603] the file is empty (0 bytes)"),
        ("a.wav", b"just some notes\n", "its bytes look like: text"),
        ("a.wav", b"<!DOCTYPE html><html>404</html>", "an HTML page"),
        ("a.flac", b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "a Git LFS pointer"),
        ("a.wav", bytes(4000), "its bytes look like: zeros only"),
        ("a.flac", b"fLaC" + bytes(range(256)), "a damaged file, or an unsupported kind, of FLAC"),
    ],
)
def test_what_is_no_audio_says_what_its_bytes_look_like(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    line = problem(tmp_path / name)
    assert "[D603]" in line and says in line


def test_an_mp3_named_wav(tmp_path: Path) -> None:
    write(tmp_path / "a.mp3", tone(0.5)).rename(tmp_path / "a.wav")
    assert problem(tmp_path / "a.wav") == "[D603] the file is named .wav but its bytes are MP3"


def test_a_missing_file(tmp_path: Path) -> None:
    assert problem(tmp_path / "a.wav") == "[D603] there is no such file"


def test_a_truncated_wav_is_not_taken_for_a_short_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(1.0), subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-10_000])
    assert problem(path) == "[D603] truncated: the header promises 32000 bytes of samples, there are 22000"


def test_a_truncated_flac(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", np.random.default_rng(0).normal(0, 0.1, RATE))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "[D603]" in problem(path)


def test_a_wav_written_to_a_pipe_does_not_know_its_length_and_is_fine(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(0.5), subtype="PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    assert audio.read(recording(path), Features()).seconds == pytest.approx(0.5, abs=1e-3)


def test_no_samples(tmp_path: Path) -> None:
    assert problem(write(tmp_path / "a.wav", np.zeros(0))) == "[D604] the audio file has no samples"


def test_nothing_but_silence(tmp_path: Path) -> None:
    assert "[D605] all 1.00 s are digital silence" in problem(write(tmp_path / "a.wav", np.zeros(RATE)))


def test_channels_that_cancel_each_other(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.stack([tone(0.5), -tone(0.5)], axis=1))
    with pytest.raises(SereError, match="cancel each other") as caught:
        audio.read(recording(path), Features())
    assert caught.value.problems[0].code == "D605"


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "an infinite value")])
def test_samples_that_are_not_finite_are_said_with_their_place(tmp_path: Path, value: float, word: str) -> None:
    samples = np.stack([tone(1.0), tone(1.0)], axis=1)
    samples[8000, 1] = value
    line = problem(write(tmp_path / "a.wav", samples, subtype="FLOAT"))
    assert line == f"[D606] 1 samples are not finite; the first is {word} at 0.500 s, channel 2"


def test_a_part_that_is_not_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(1.0))
    assert problem(path, start=2.0).startswith("[D604] the part from 2.000 s begins after the file's end at 1.000 s")
    assert problem(path, start=0.5, end=1.5).startswith("[D603] the part ends at 1.500 s, the file already at 1.000 s")
    assert problem(path, start=0.5, end=0.5).startswith("[D604] the part from 0.500 s to 0.500 s is empty")
