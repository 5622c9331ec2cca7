"""The cache under kills, damage and deletion: nothing that was stored is lost, and nothing is served as what it is not."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sere_core.config.model import Features
from sere_core.content import Contents
from sere_core.features import shards, store
from sere_core.features.cache import FOLDER, Cache, Entry, key
from sere_core.features.extract import Extracted, Extractor, Keys
from sere_registry import Recording, SereError
from tests.features.test_store import CONTOURS, FACTS, Blocks, corpus

FILES = 60


class Wide(Blocks):
    """Frames that take a while to write, so that kills meet writers."""

    input_dim, contours = 4000, ()

    def extract(self, waveform: np.ndarray, contours: Mapping[str, np.ndarray], hop: float) -> np.ndarray:
        self.calls += 1
        return np.outer(waveform[:100], np.arange(self.input_dim, dtype=np.float32))


def extracted(folder: Path, recordings: Sequence[Recording], encoder: Blocks, names: Any = frozenset()) -> store.FeatureSet:
    shards.shards.cache_clear()
    wanted = [(recording, ("wide",)) for recording in recordings]
    return store.extract_all(wanted, {"wide": (encoder, "test.wide", [])}, names, Features(cache=str(folder)), Contents())


def writer(folder: Path, recordings: Sequence[Recording]) -> int:
    """A process that extracts all, in an order of its own."""
    child = os.fork()
    if child == 0:
        try:
            own = list(recordings)
            random.shuffle(own)
            extracted(folder, own, Wide())
        finally:
            os._exit(0)
    return child


def whole(folder: Path, recordings: Sequence[Recording], expected: Mapping[str, np.ndarray]) -> set[str]:
    """The recordings that another process finds in the cache, each with the right values."""
    shards.shards.cache_clear()
    options = Features(cache=str(folder))
    encoders: Any = {"wide": (Wide(), "test.wide", [])}
    extractor, keys = Extractor(encoders, frozenset(), options), Keys(encoders, options, Contents())
    found = [Extracted(extractor, keys, recording, ["wide"]) for recording in recordings]
    for one in found:
        if one.complete:
            np.testing.assert_array_equal(one.array("encoder wide", "frames"), expected[one.recording.key])
    return {one.recording.key for one in found if one.complete}


@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.counts)])
def test_kills_at_random_moments_lose_nothing_and_nothing_is_served_wrong(kills: int, tmp_path: Path) -> None:
    """Two writers at a time on the same recordings, each killed at some moment of its own; their work is then finished by a third."""
    draw, recordings = random.Random(kills), corpus(tmp_path, FILES, 0.1)
    reference = extracted(tmp_path / "reference", recordings, Wide())
    expected = {each.key: np.array(reference.frames(each, "wide")) for each in recordings}
    begin = time.monotonic()
    os.waitpid(writer(tmp_path / "timed", recordings), 0)
    longest, there, left = time.monotonic() - begin, set[str](), Counter[str]()
    folder, killed = tmp_path / "cache", 0
    while killed < kills:
        moments = sorted((draw.uniform(0, longest / 2), writer(folder, recordings)) for _ in range(2))
        began = time.monotonic()
        for moment, child in moments:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            os.kill(child, signal.SIGKILL)
            killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        now = whole(folder, recordings, expected)
        assert now >= there, "what was stored is still there"
        there = now
        for index in folder.rglob("*.index"):
            left["half a line"] += not index.read_bytes().endswith(b"\n") and index.stat().st_size > 0
        if len(there) == FILES:
            left["complete"] += 1
            shutil.rmtree(folder)
            there = set()
    again = extracted(folder, recordings, Wide())
    assert again.digest == reference.digest and whole(folder, recordings, expected) == {each.key for each in recordings}
    print(f"\n{killed} kills, {again.report.cached} of {FILES} in the cache at the end, {dict(left)}")


@pytest.mark.parametrize("count", [10, pytest.param(100, marks=pytest.mark.counts)])
def test_a_flipped_bit_is_always_found_and_what_it_hit_made_again(count: int, tmp_path: Path) -> None:
    draw, recordings, encoder = random.Random(count), corpus(tmp_path, 3), Blocks()
    reference = extracted(tmp_path / "reference", recordings, encoder, CONTOURS)
    expected = {each.key: (np.array(reference.frames(each, "wide")), reference.contours(each, "wide")) for each in recordings}
    again: Counter[str] = Counter()
    for number in range(count):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "reference", folder)
        path = draw.choice(sorted(folder.rglob("*.*")))
        data = bytearray(path.read_bytes())
        at = draw.choice([at for at, each in enumerate(data) if each])  # zeros may be between two arrays
        data[at] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        before = len(list(folder.rglob("*.index")))
        found = extracted(folder, recordings, encoder, CONTOURS)
        for each in recordings:
            frames, contours = expected[each.key]
            np.testing.assert_array_equal(found.frames(each, "wide"), frames)
            np.testing.assert_array_equal(found.mean(each, "wide"), frames.mean(axis=0, dtype=np.float64).astype(np.float32))
            for name, row in found.contours(each, "wide").items():
                np.testing.assert_array_equal(row, contours[name])
        assert found.digest == reference.digest
        again[path.suffix] += len(list(folder.rglob("*.index"))) > before
    print(f"\n{count} flips, made again: {dict(again)}")
    assert sum(again.values()) >= 0.9 * count, "some bits mean nothing: of a space, or whether a hexadecimal digit is a capital"


def test_two_processes_see_what_the_other_writes_and_a_deleted_folder_is_begun_anew(tmp_path: Path) -> None:
    mine, other = shards.Shards(tmp_path / FOLDER), shards.Shards(tmp_path / FOLDER)
    name, array = key(file=1), np.arange(5, dtype=np.float32)
    mine.append(name, {}, {"x": array})
    other.refresh()
    row = other.find(name)
    assert row is not None
    kept = other.read(row, "x")
    shutil.rmtree(tmp_path / FOLDER)
    np.testing.assert_array_equal(kept, array)  # a map outlives its file
    for each in (mine, other):
        each.refresh()
        assert each.find(name) is None and not each.keys()
    mine.append(name, {}, {"x": array + 1})
    other.refresh()
    row = other.find(name)
    assert row is not None and other.read(row, "x")[0] == 1


def test_a_shard_ends_and_another_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "LARGEST", 1000)
    monkeypatch.setattr(shards, "_MAPS", 2)
    own = shards.Shards(tmp_path)
    for number in range(20):
        own.append(key(file=number), {}, {"x": np.full(100, number, np.float32)})
    assert len(list(tmp_path.glob("*.data"))) == 7 and max(path.stat().st_size for path in tmp_path.glob("*.data")) < 1500
    for number in range(20):
        row = own.find(key(file=number))
        assert row is not None and (own.read(row, "x") == number).all()


def test_an_error_while_writing_leaves_a_shard_that_is_read_as_far_as_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, real = Cache(tmp_path), shards.write_all
    held.store(key(file=0), Entry({"x": np.zeros(4, np.float32)}, FACTS))

    def half(descriptor: int, data: bytes) -> None:
        real(descriptor, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shards, "write_all", half)
        with pytest.raises(SereError, match="X705"):
            held.store(key(file=1), Entry({"x": np.ones(4, np.float32)}, FACTS))
    held.store(key(file=2), Entry({"x": np.ones(4, np.float32)}, FACTS))
    shards.shards.cache_clear()
    for number, there in enumerate((True, False, True)):
        assert (Cache(tmp_path).sound(key(file=number)) is not None) == there


def test_of_two_records_of_a_key_the_newer_one_counts_and_a_damaged_one_does_not(tmp_path: Path) -> None:
    first, name = shards.Shards(tmp_path), key(file=1)
    first.append(name, {}, {"x": np.zeros(8, np.float32)})
    second = shards.Shards(tmp_path)
    second.append(name, {}, {"x": np.ones(8, np.float32)})
    for each in (first, second, shards.Shards(tmp_path)):
        each.refresh()
        row = each.find(name)
        assert row is not None and each.read(row, "x")[0] == 1
    newest = sorted(tmp_path.glob("*.data"))[-1]
    newest.write_bytes(bytes(newest.stat().st_size))
    third = shards.Shards(tmp_path)
    third.refresh()
    row = third.find(name)
    assert row is not None
    with pytest.raises(shards.Damaged):
        third.read(row, "x")
    row = third.find(name)
    assert row is not None and third.read(row, "x")[0] == 0


def test_recordings_of_one_name_in_other_files_are_kept_apart(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(8000) / 9), 16_000)
    first = extracted(tmp_path / "cache", [Recording("x", tmp_path / "a.wav", "c", "de", "s")], Wide())
    soundfile.write(tmp_path / "b.wav", np.sin(np.arange(8000) / 7), 16_000)
    second = extracted(tmp_path / "cache", [Recording("x", tmp_path / "b.wav", "c", "de", "s")], Wide())
    assert second.report.extracted == 1 and first.digest != second.digest
