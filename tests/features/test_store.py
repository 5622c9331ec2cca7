"""Features of whole corpora: extracted once, found again without decoding, all problems at once; and their cache."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from sere_core import content
from sere_core.config.model import Features
from sere_core.content import Contents
from sere_core.features import audio, cache, shards, store
from sere_core.features.cache import Cache, Entry
from sere_registry import Recording, SereError
from sere_registry.files import cache_folder

CONTOURS = frozenset({"rms", "centroid"})
KEY = cache.key(file="0", extractor="x")
FACTS = audio.Facts("0", 1.0, 0.1, 0.0)


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
        recordings.append(Recording(path.stem, path, "corpus", "de", "speaker"))
    return recordings


Extract = Callable[..., store.FeatureSet]


@pytest.fixture
def extract(tmp_path: Path) -> Extract:
    """Extracts with one encoder and a cache below the test's folder; keywords become options."""

    def call(
        recordings: Sequence[Recording],
        encoder: Blocks | None = None,
        tell: Any = None,
        contents: Contents | None = None,
        code: str = "1f3a",
        **options: Any,
    ) -> store.FeatureSet:
        wanted = [(recording, ("blocks",)) for recording in recordings]
        encoders = {"blocks": (encoder or Blocks(), "test.blocks", [code])}
        given = Features(cache=str(tmp_path / "cache"), **options)
        return store.extract_all(wanted, encoders, CONTOURS, given, contents or Contents(), progress=tell)

    return call


def codes(extract: Extract, recordings: Sequence[Recording]) -> list[tuple[str, str]]:
    """The problems of an extraction, with the names of their files."""
    with pytest.raises(SereError) as caught:
        extract(recordings)
    return [(problem.code, Path(str(problem.place)).name) for problem in caught.value.problems]


def test_frames_and_contours_on_the_encoders_output_grid(tmp_path: Path, extract: Extract) -> None:
    recordings = corpus(tmp_path)
    found = extract(recordings)
    frames, contours = found.frames(recordings[3], "blocks"), found.contours(recordings[3], "blocks")
    assert frames.shape == (10, 2) and frames.dtype == np.float32
    assert set(contours) == CONTOURS and contours["rms"].shape == (5,)  # ten rows, and the encoder halves them
    np.testing.assert_allclose(contours["rms"], 0.2, rtol=0.15)


def test_the_second_time_nothing_is_decoded_unless_an_entry_is_damaged(
    tmp_path: Path, extract: Extract, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings, before, encoder = corpus(tmp_path), torch.get_num_threads(), Blocks()
    first = extract(recordings, encoder)
    assert (first.report.extracted, first.report.cached, first.report.seconds) == (4, 0, pytest.approx(2.0))
    with monkeypatch.context() as patch:
        patch.setattr(audio, "opened", lambda *_: pytest.fail("decoded again"))
        second = extract(recordings, encoder)
    assert (second.report.extracted, second.report.cached, second.report.seconds) == (0, 4, pytest.approx(2.0))
    assert encoder.calls == 4 and torch.get_num_threads() == before
    for path in (tmp_path / "cache").rglob("*.index"):
        path.write_bytes(path.read_bytes().replace(b'"seconds"', b'"minutes"'))
    shards.shards.cache_clear()
    third = extract(recordings)
    assert third.report.extracted == 4 and extract(recordings).report.cached == 4
    for again in (second, third):
        assert again.digest == first.digest
        for recording in recordings:
            np.testing.assert_array_equal(first.frames(recording, "blocks"), again.frames(recording, "blocks"))


def test_an_array_that_is_damaged_is_made_again_when_it_is_read(tmp_path: Path, extract: Extract, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings, encoder = corpus(tmp_path), Blocks()
    first = extract(recordings, encoder)
    expected = {each.key: np.array(first.frames(each, "blocks")) for each in recordings}
    contours = {each.key: first.contours(each, "blocks") for each in recordings}
    (shard,) = (tmp_path / "cache").rglob("*.data")
    shard.write_bytes(bytes(each ^ 255 for each in shard.read_bytes()))
    shards.shards.cache_clear()
    second = extract(recordings, encoder)
    assert second.report.cached == 4 and second.digest == first.digest and encoder.calls == 4, "no array is read yet"
    for turn in range(2):
        for each in recordings:
            np.testing.assert_array_equal(second.frames(each, "blocks"), expected[each.key])
            np.testing.assert_array_equal(second.mean(each, "blocks"), expected[each.key].mean(axis=0, dtype=np.float64).astype(np.float32))
            for name, row in second.contours(each, "blocks").items():
                np.testing.assert_array_equal(row, contours[each.key][name])
        assert encoder.calls == 8, turn
    with monkeypatch.context() as patch:
        patch.setattr(audio, "opened", lambda *_: pytest.fail("made again twice"))
        shards.shards.cache_clear()
        np.testing.assert_array_equal(extract(recordings).frames(recordings[0], "blocks"), expected[recordings[0].key])
    for shard in (tmp_path / "cache").rglob("*.data"):
        shard.unlink()
    shards.shards.cache_clear()
    third = extract(recordings, encoder)
    louder = Blocks()
    louder.extract = lambda *given: Blocks().extract(*given) * np.float32(1.000001)  # type: ignore[method-assign]
    third._extractor.encoders["blocks"] = (louder, "test.blocks", [""])  # type: ignore[index]
    with pytest.raises(SereError, match=r"D603.*not the same when made again"):
        third.frames(recordings[0], "blocks")


def test_a_damaged_array_before_which_stands_one_of_other_bits_ends_one_run_and_no_more(tmp_path: Path, extract: Extract) -> None:
    (one,) = recordings = corpus(tmp_path, count=1)
    first = extract(recordings)
    expected, key = np.array(first.frames(one, "blocks")), first._found[one.key]._key("encoder blocks")
    entry = first._extractor.cache.load(key)
    assert entry is not None
    whole = entry.whole()
    other = {**whole.arrays, "frames": whole.arrays["frames"] * np.float32(1.000001)}  # as another machine may round
    first._extractor.cache.store(key, Entry(other, whole.facts))
    (shard,) = (tmp_path / "cache").rglob("*.data")
    content = shard.read_bytes()
    at = content.rindex(other["frames"].tobytes())
    shard.write_bytes(content[:at] + bytes(8) + content[at + 8 :])
    shards.shards.cache_clear()
    with pytest.raises(SereError, match="D603"):
        extract(recordings).frames(one, "blocks")
    shards.shards.cache_clear()
    np.testing.assert_array_equal(extract(recordings).frames(one, "blocks"), expected)


def test_frames_in_half_precision(tmp_path: Path, extract: Extract) -> None:
    recordings, encoder = corpus(tmp_path, count=1), Blocks()
    single, half = (extract(recordings, encoder, precision=each) for each in ("float32", "float16"))
    assert encoder.calls == 2 and half.frames(recordings[0], "blocks").dtype == np.float16
    assert half.mean(recordings[0], "blocks").dtype == np.float32
    np.testing.assert_allclose(half.frames(recordings[0], "blocks"), single.frames(recordings[0], "blocks"), rtol=1e-3)
    assert half.digest != single.digest
    encoder.extract = lambda *given: Blocks().extract(*given) * np.float32(1e7)  # type: ignore[method-assign]
    with pytest.raises(SereError, match=r"C311.*float16 ends at 65504"):
        extract(recordings, encoder, code="another", precision="float16")


def test_a_changed_file_is_noticed_whatever_its_time(tmp_path: Path, extract: Extract) -> None:
    recordings, encoder = corpus(tmp_path), Blocks()
    os.utime(recordings[0].path, (10**9, 10**9))
    first, before = extract(recordings, contents=Contents(tmp_path)), recordings[0].path.stat()
    soundfile.write(recordings[0].path, np.random.default_rng(9).normal(0, 0.3, 8000), 16_000)
    os.utime(recordings[0].path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert recordings[0].path.stat().st_size == before.st_size
    second = extract(recordings, encoder, contents=Contents(tmp_path))
    assert encoder.calls == 1 and second.digest != first.digest
    assert second.frames(recordings[0], "blocks")[:, 0].mean() == pytest.approx(0.3, rel=0.1)


def test_what_the_file_system_does_not_tell_is_found_afresh(tmp_path: Path, extract: Extract, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_state", lambda path: "as ever 0 0")
    recordings, encoder = corpus(tmp_path), Blocks()
    extract(recordings, encoder, contents=Contents(tmp_path))
    corpus(tmp_path, seconds=0.6)
    assert extract(recordings, contents=Contents(tmp_path)).report.cached == 4
    fresh = extract(recordings, encoder, contents=Contents(tmp_path, fresh=True))
    assert fresh.report.extracted == 4 and encoder.calls == 8
    assert extract(recordings, encoder, contents=Contents(tmp_path)).digest == fresh.digest, "and remembered"


@pytest.mark.parametrize("name", ["a.flac", "a.mp3"])
def test_a_file_is_decoded_once_for_all_its_parts(tmp_path: Path, extract: Extract, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 30 * 16_000)
    soundfile.write(tmp_path / name, samples, 16_000)
    spans = [(0.7 * number, 0.7 * number + 1.0) for number in range(40)]
    parts = [Recording(f"p{number}", tmp_path / name, "c", "de", "s", start=start, end=end) for number, (start, end) in enumerate(spans)]
    decoded, real = [], soundfile.SoundFile.read

    def read(self: soundfile.SoundFile, *given: Any, **named: Any) -> np.ndarray:
        block = real(self, *given, **named)
        decoded.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", read)
    found = extract(parts[::-1])
    assert sum(decoded) <= len(samples) + 16_000 and found.report.extracted == 40
    for part in parts[::7]:
        alone = audio.read(part, Features())
        assert found.audio_digest(part) == alone.facts.digest
    with monkeypatch.context() as patch:
        patch.setattr(audio, "opened", lambda *_: pytest.fail("decoded again"))
        assert extract(parts).report.cached == 40
    monkeypatch.undo()
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[: (tmp_path / name).stat().st_size // 2])
    assert {code for code, _ in codes(extract, parts)} == {"D603"}


def test_a_moved_corpus_is_found_by_its_content(tmp_path: Path, extract: Extract) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    first = extract(corpus(tmp_path / "here", count=1))
    moved = corpus(tmp_path / "there")
    second = extract(moved).report
    assert (second.extracted, second.cached) == (3, 1), "only what is made counts as extracted"
    assert extract(moved[:1]).digest == first.digest
    only_frames = extract(moved, Blocks(version=2)).report
    assert (only_frames.extracted, only_frames.cached) == (4, 0), "another encoder makes arrays beside contours that were there"


def test_parts_of_a_file_are_kept_apart(tmp_path: Path, extract: Extract) -> None:
    (whole,) = corpus(tmp_path, count=1, seconds=1.0)
    parts = [replace(whole, id=str(at), start=at, end=at + 0.5) for at in (0.0, 0.5)]
    found = extract(parts)
    assert found.audio_digest(parts[0]) != found.audio_digest(parts[1])
    again = extract(parts[::-1])
    assert again.report.cached == 2 and again.digest == found.digest


def test_what_the_output_depends_on_is_in_the_key(tmp_path: Path, extract: Extract) -> None:
    recordings = corpus(tmp_path, count=1)
    soundfile.write(recordings[0].path, np.concatenate([np.zeros(4000), np.full(8000, 0.1)]), 16_000)
    weights = tmp_path / "weights"
    weights.write_bytes(b"0")
    reads = Blocks()
    reads.files = (weights,)  # type: ignore[attr-defined]
    others = ({"trim": False}, {"max_seconds": 0.6}, {"code": "2b4c"})
    for encoder, options in ((None, {}), (Blocks(version=2), {}), (reads, {}), *((None, each) for each in others)):
        assert extract(recordings, encoder, **options).report.extracted == 1
        assert extract(recordings, encoder, **options).report.cached == 1
    weights.write_bytes(b"1")
    assert extract(recordings, reads).report.extracted == 1, "weights of the same size"
    for hop in (0.01, 0.03):
        options = Features(cache=str(tmp_path / "cache"), hop=hop)
        assert store.extract_all([(recordings[0], ())], {}, CONTOURS, options, Contents()).report.extracted == 1


def test_the_digest_is_of_arrays_and_not_of_what_made_them(tmp_path: Path, extract: Extract) -> None:
    recordings = corpus(tmp_path, count=2)
    first = extract(recordings)
    assert extract(recordings[::-1], Blocks(version=2)).digest == first.digest, "another version, the same numbers"
    louder = Blocks()
    louder.extract = lambda *given: Blocks().extract(*given) * np.float32(1.000001)  # type: ignore[method-assign]
    shutil.rmtree(tmp_path / "cache")
    assert extract(recordings, louder).digest != first.digest, "the same version, other numbers"
    assert extract(recordings[:1]).digest != first.digest


def test_a_file_that_changes_while_it_is_worked_on_is_not_cached_as_what_it_was(
    tmp_path: Path, extract: Extract, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = audio.read_parts

    def change(recordings: Sequence[Recording], options: Features) -> Any:
        soundfile.write(recordings[0].path, np.random.default_rng(1).normal(0, 0.1, 8000), 16_000)
        return read(recordings, options)

    monkeypatch.setattr(audio, "read_parts", change)
    assert codes(extract, corpus(tmp_path, count=1)) == [("D603", "0.wav")] and not (tmp_path / "cache").exists()


def test_all_problems_of_all_files_at_once(tmp_path: Path, extract: Extract) -> None:
    recordings = corpus(tmp_path, seconds=0.5)
    soundfile.write(recordings[0].path, np.zeros(100), 16_000)
    recordings[1].path.unlink()
    soundfile.write(recordings[2].path, np.sin(np.arange(100)), 16_000)
    assert codes(extract, recordings) == [("D605", "0.wav"), ("D603", "1.wav"), ("D612", "2.wav")]


def test_an_encoder_that_breaks_its_contract_is_named(tmp_path: Path, extract: Extract) -> None:
    encoder = Blocks()
    encoder.input_dim = 3
    with pytest.raises(SereError, match=r"B403.*'blocks' \(test.blocks\).*\[10, 2\].*\[T, 3\]"):
        extract(corpus(tmp_path, count=1), encoder)


def test_a_cache_that_cannot_be_written_is_said_once(tmp_path: Path, extract: Extract) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    assert [code for code, _ in codes(extract, corpus(tmp_path))] == ["X704"]


def test_an_interrupted_extraction_keeps_what_is_done(tmp_path: Path, extract: Extract) -> None:
    recordings = corpus(tmp_path, count=8)

    def stop(done: int, total: int) -> None:
        assert total == 8
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(recordings, tell=stop)
    assert extract(recordings).report.cached >= 3


def test_trimmed_and_cut_files_are_counted(tmp_path: Path, extract: Extract) -> None:
    recordings = corpus(tmp_path, count=3)
    soundfile.write(recordings[0].path, np.concatenate([np.zeros(1600), np.sin(np.arange(8000) + 1)]), 16_000)
    soundfile.write(recordings[1].path, np.sin(np.arange(16_000) + 1), 16_000)
    report = extract(recordings, max_seconds=0.8).report
    assert (report.recordings, report.trimmed, report.cut) == (3, 1, 1)


def fresh(folder: Path) -> Cache:
    """The cache as another process would find it."""
    shards.shards.cache_clear()
    return Cache(folder)


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    arrays = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.zeros((0, 5), np.float32), "c": np.float16([[[1.5]]])}
    Cache(tmp_path).store(KEY, Entry(arrays, FACTS))
    for held in (Cache(tmp_path), fresh(tmp_path)):
        back = held.sound(KEY)
        assert back is not None and back.facts == FACTS and back.arrays.keys() == arrays.keys()
        for name, array in back.arrays.items():
            assert array.dtype == arrays[name].dtype and not (array.size and array.flags.writeable)
            np.testing.assert_array_equal(array, arrays[name])
    assert Cache(tmp_path).load(cache.key(file="1", extractor="x")) is None
    assert cache.key(a={"x": 1, "y": 2}, b=1) == cache.key(b=1, a={"y": 2, "x": 1}) != cache.key(b=2, a={"y": 2, "x": 1})


def test_no_damaged_byte_of_an_entry_goes_unnoticed(tmp_path: Path) -> None:
    entry = Entry({"frames": np.arange(6, dtype=np.float32)}, FACTS)
    Cache(tmp_path).store(KEY, entry)
    files = sorted(tmp_path.rglob("*.*"))
    assert [path.suffix for path in files] == [".data", ".index"]
    for path in files:
        sound = path.read_bytes()
        lost, changed = 0, [sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :] for at in range(len(sound))]
        for broken in (*changed, b"", sound[:-4], sound[:-1]):
            path.write_bytes(broken)
            found = fresh(tmp_path).sound(KEY)
            assert found is None or (found.facts == FACTS and (found.arrays["frames"] == entry.arrays["frames"]).all())
            lost += found is None
        assert lost >= len(sound) + 2
        path.write_bytes(sound + b"\0\0\0\0")
        assert fresh(tmp_path).sound(KEY) is not None
        path.write_bytes(sound)
    lines = files[1].read_bytes()
    other = lines[:9] + cache.key(file="other").encode() + lines[49:]  # a sound entry under the name of another
    files[1].write_bytes(other)
    assert fresh(tmp_path).keys() == []


def test_the_folder_is_the_configs_or_the_environments_or_the_homes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERE_CACHE", "/from/environment")
    assert cache_folder("/from/config") == Path("/from/config")
    assert cache_folder() == Path("/from/environment")
    monkeypatch.delenv("SERE_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "sere"


def test_processes_write_the_same_keys_and_one_is_killed(tmp_path: Path) -> None:
    script = """
import sys, numpy as np
from pathlib import Path
from sere_core.features.audio import Facts
from sere_core.features.cache import Cache, Entry, key
store = Cache(Path(sys.argv[1]))
for turn in range(50):
    for number in range(20):
        name = key(file=number)
        found = store.sound(name)
        assert found is None or (found.arrays["x"] == number).all()
        store.store(name, Entry({"x": np.full(5000, number, np.float32)}, Facts("", 0.0, 0.0, 0.0)))
"""
    running = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(3)]
    while not list(tmp_path.rglob("*.index")):
        time.sleep(0.01)
    running[0].kill()
    assert [process.wait() for process in running] == [-signal.SIGKILL, 0, 0]
    for number in range(20):
        found = Cache(tmp_path).sound(cache.key(file=number))
        assert found is not None and (found.arrays["x"] == number).all()
