"""Features of whole corpora: extracted once, found again without decoding, all problems at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from sere_core.config.model import Features
from sere_core.features import audio, store
from sere_registry import Recording, SereError

CONTOURS = frozenset({"rms", "centroid"})


class Blocks:
    """An encoder for tests: the rms of every 50 ms, and the mean of a contour; it counts its calls."""

    input_dim, dim, rate, offset = 2, 2, 10.0, 0.05
    contours = ("rms",)
    normalise = True

    def __init__(self, version: int = 1) -> None:
        self.version, self.calls = version, 0

    def fingerprint(self) -> Mapping[str, Any]:
        return {"version": self.version}

    def extract(self, waveform: np.ndarray, contours: Mapping[str, np.ndarray], hop: float) -> np.ndarray:
        assert set(contours) == {"rms"} and hop == 0.02
        self.calls += 1
        blocks = waveform[: len(waveform) // 800 * 800].reshape(-1, 800)
        rms = np.sqrt((blocks**2).mean(axis=1, keepdims=True))
        return np.concatenate([rms, np.full_like(rms, contours["rms"].mean())], axis=1)

    def lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        return (lengths + 1) // 2

    def __call__(self, frames: Any) -> Any:
        return frames


def corpus(folder: Path, count: int = 4, seconds: float = 0.5) -> list[Recording]:
    generator = np.random.default_rng(0)
    recordings = []
    for number in range(count):
        path = folder / f"{number}.wav"
        soundfile.write(path, generator.normal(0, 0.05 * (number + 1), round(seconds * 16_000)), 16_000)
        os.utime(path, ns=(10**18, 10**18))  # long ago
        recordings.append(Recording(path.stem, path, "corpus", "de", "speaker"))
    return recordings


def extract(recordings: list[Recording], encoder: Blocks, cache: Path, **more: Any) -> store.FeatureSet:
    wanted = [(recording, ("blocks",)) for recording in recordings]
    options = Features(cache=str(cache), **more.pop("options", {}))
    return store.extract_all(wanted, {"blocks": (encoder, "test.blocks", "1.0")}, CONTOURS, options, workers=2, **more)


def test_frames_and_contours_on_the_encoders_output_grid(tmp_path: Path) -> None:
    recordings = corpus(tmp_path)
    found = extract(recordings, Blocks(), tmp_path / "cache")
    frames = found.frames(recordings[3], "blocks")
    assert frames.shape == (10, 2) and frames.dtype == np.float32
    contours = found.contours(recordings[3], "blocks")
    assert set(contours) == CONTOURS
    assert contours["rms"].shape == (5,)  # ten rows, and the encoder halves them
    np.testing.assert_allclose(contours["rms"], 0.2, rtol=0.15)


def test_the_second_time_nothing_is_decoded_or_extracted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = corpus(tmp_path)
    first = extract(recordings, Blocks(), tmp_path / "cache")
    assert (first.report.extracted, first.report.cached, first.report.seconds) == (4, 0, pytest.approx(2.0))
    monkeypatch.setattr(audio, "read", lambda *_: pytest.fail("decoded again"))
    encoder = Blocks()
    second = extract(recordings, encoder, tmp_path / "cache")
    assert encoder.calls == 0
    assert (second.report.extracted, second.report.cached, second.report.seconds) == (0, 4, pytest.approx(2.0))
    assert second.digest == first.digest
    for recording in recordings:
        np.testing.assert_array_equal(first.frames(recording, "blocks"), second.frames(recording, "blocks"))


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    recordings = corpus(tmp_path)
    first = extract(recordings, Blocks(), tmp_path / "cache")
    soundfile.write(recordings[0].path, np.random.default_rng(9).normal(0, 0.3, 8000), 16_000)  # of the same size
    encoder = Blocks()
    second = extract(recordings, encoder, tmp_path / "cache")
    assert encoder.calls == 1 and second.digest != first.digest
    assert second.frames(recordings[0], "blocks")[:, 0].mean() == pytest.approx(0.3, rel=0.1)


def test_a_moved_corpus_is_decoded_but_not_extracted_again(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    first = extract(corpus(tmp_path / "here"), Blocks(), tmp_path / "cache")
    encoder = Blocks()
    second = extract(corpus(tmp_path / "there"), encoder, tmp_path / "cache")
    assert second.digest == first.digest and encoder.calls == 0
    assert (second.report.extracted, second.report.cached) == (0, 4), "what was only read again was not extracted"


def test_only_what_is_made_counts_as_extracted(tmp_path: Path) -> None:
    recordings = corpus(tmp_path)
    extract(recordings[:1], Blocks(), tmp_path / "cache")
    for recording in recordings:
        os.utime(recording.path, ns=(2 * 10**17, 2 * 10**17))
    assert extract(recordings, Blocks(), tmp_path / "cache").report.extracted == 3
    only_frames = extract(recordings, Blocks(version=2), tmp_path / "cache").report
    assert (only_frames.extracted, only_frames.cached) == (4, 0), "another encoder makes arrays beside contours that were there"


@pytest.mark.parametrize("change", ["fingerprint", "hop", "trim"])
def test_what_the_output_depends_on_is_in_the_key(tmp_path: Path, change: str) -> None:
    recordings = corpus(tmp_path, count=1)
    soundfile.write(recordings[0].path, np.concatenate([np.zeros(4000), np.full(8000, 0.1)]), 16_000)
    options = {"trim": False} if change == "trim" else {}
    first = extract(recordings, Blocks(), tmp_path / "cache")
    if change == "hop":
        wanted = [(recordings[0], ())]
        digests = {store.extract_all(wanted, {}, CONTOURS, Features(cache=str(tmp_path / "cache"), hop=hop)).digest for hop in (0.01, 0.02)}
        assert len(digests) == 2
        return
    encoder = Blocks(version=2 if change == "fingerprint" else 1)
    second = extract(recordings, encoder, tmp_path / "cache", options=options)
    assert encoder.calls == 1 and second.digest != first.digest


def test_a_damaged_entry_is_extracted_again(tmp_path: Path) -> None:
    recordings = corpus(tmp_path)
    first = extract(recordings, Blocks(), tmp_path / "cache")
    for path in (tmp_path / "cache" / "arrays").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1] + b"!")
    with (tmp_path / "cache" / "audio.index").open("ab") as index:
        index.write(b"deadbeef [torn li")
    second = extract(recordings, Blocks(), tmp_path / "cache")
    assert second.report.extracted == 4 and second.digest == first.digest
    for recording in recordings:
        np.testing.assert_array_equal(first.frames(recording, "blocks"), second.frames(recording, "blocks"))
    assert extract(recordings, Blocks(), tmp_path / "cache").report.cached == 4


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are decoded from now on, by name."""
    names: list[str] = []
    read = audio.read

    def noting(recording: Recording, options: Features) -> audio.Waveform:
        names.append(recording.path.name)
        return read(recording, options)

    monkeypatch.setattr(audio, "read", noting)
    return names


def test_a_damaged_index_line_never_leads_to_another_files_features(tmp_path: Path, decoded: list[str]) -> None:
    recordings = corpus(tmp_path)
    extract(recordings, Blocks(), tmp_path / "cache")
    index = tmp_path / "cache" / "audio.index"
    index.write_text(index.read_text().replace("0.wav", "1.wav"))
    decoded.clear()
    assert extract(recordings, Blocks(), tmp_path / "cache").report.extracted == 0
    assert decoded == ["0.wav"]


def test_a_file_written_a_moment_ago_is_not_remembered_by_its_time(tmp_path: Path, decoded: list[str]) -> None:
    recordings = corpus(tmp_path, count=1)
    os.utime(recordings[0].path)  # now: it could change again without a new time
    extract(recordings, Blocks(), tmp_path / "cache")
    encoder = Blocks()
    extract(recordings, encoder, tmp_path / "cache")
    assert decoded == ["0.wav", "0.wav"] and encoder.calls == 0  # decoded, but found under its content


def test_all_problems_of_all_files_at_once(tmp_path: Path) -> None:
    recordings = corpus(tmp_path, seconds=0.5)
    soundfile.write(recordings[0].path, np.zeros(100), 16_000)
    recordings[1].path.unlink()
    soundfile.write(recordings[2].path, np.full(100, 0.1), 16_000)
    with pytest.raises(SereError) as caught:
        extract(recordings, Blocks(), tmp_path / "cache")
    assert [(problem.code, Path(str(problem.place)).name) for problem in caught.value.problems] == [
        ("D605", "0.wav"),
        ("D603", "1.wav"),
        ("D612", "2.wav"),
    ]


def test_an_encoder_that_breaks_its_contract_is_named(tmp_path: Path) -> None:
    encoder = Blocks()
    encoder.input_dim = 3
    with pytest.raises(SereError, match=r"encoder 'blocks' \(test.blocks\) extracted an array \[10, 2\], not \[T, 3\]"):
        extract(corpus(tmp_path, count=1), encoder, tmp_path / "cache")


def test_a_cache_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(SereError) as caught:
        extract(corpus(tmp_path), Blocks(), tmp_path / "cache")
    assert [problem.code for problem in caught.value.problems] == ["X704"]


def test_an_interrupted_extraction_keeps_what_is_done(tmp_path: Path) -> None:
    recordings = corpus(tmp_path, count=8)

    def stop(done: int, total: int, what: str) -> None:
        assert total == 8 and what.startswith("corpus/")
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(recordings, Blocks(), tmp_path / "cache", progress=stop)
    assert extract(recordings, Blocks(), tmp_path / "cache").report.cached >= 3


def test_trimmed_and_cut_files_are_counted(tmp_path: Path) -> None:
    recordings = corpus(tmp_path, count=3)
    soundfile.write(recordings[0].path, np.concatenate([np.zeros(1600), np.full(8000, 0.1)]), 16_000)
    soundfile.write(recordings[1].path, np.full(16_000, 0.1), 16_000)
    report = extract(recordings, Blocks(), tmp_path / "cache", options={"max_seconds": 0.8}).report
    assert (report.recordings, report.trimmed, report.cut) == (3, 1, 1)


def test_a_recording_named_twice_is_worked_on_once(tmp_path: Path) -> None:
    recordings = corpus(tmp_path, count=1)
    encoder = Blocks()
    assert extract(recordings * 3, encoder, tmp_path / "cache").report.recordings == 1
    assert encoder.calls == 1


def test_the_threads_of_torch_are_as_before(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    extract(corpus(tmp_path, count=2), Blocks(), tmp_path / "cache")
    assert torch.get_num_threads() == before
