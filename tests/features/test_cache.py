"""The cache: what is damaged counts as absent, what cannot be written is one line, and two processes may share it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sere_core.config.model import Features
from sere_core.features import cache
from sere_core.features.cache import Cache
from sere_registry import SereError

KEY = cache.key("audio", {"extractor": "x"})


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    for array in (np.arange(12, dtype=np.float32).reshape(3, 4), np.zeros((0, 5), np.float32), np.float32([[[1.5]]])):
        Cache(tmp_path).store(KEY, array)
        back = Cache(tmp_path).load(KEY)
        assert back is not None and back.dtype == np.float32 and back.flags.writeable
        np.testing.assert_array_equal(back, array)
    assert Cache(tmp_path).load(cache.key("other audio", {"extractor": "x"})) is None


def test_a_key_is_that_of_all_that_matters_in_any_order() -> None:
    assert cache.key("a", {"x": 1, "y": 2}) == cache.key("a", {"y": 2, "x": 1})
    assert len({cache.key("a", {"x": 1}), cache.key("a", {"x": 2}), cache.key("b", {"x": 1})}) == 3


@pytest.mark.parametrize("damage", ["flip", "shorten", "empty", "append", "foreign"])
def test_a_damaged_entry_counts_as_absent(tmp_path: Path, damage: str) -> None:
    store = Cache(tmp_path)
    store.store(KEY, np.arange(100, dtype=np.float32))
    path = store.path(KEY)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[200] ^= 1
    elif damage == "shorten":
        del content[-4:]
    elif damage == "empty":
        content.clear()
    elif damage == "append":
        content += b"\0\0\0\0"
    else:  # a sound entry under the name of another
        other = cache.key("other", {})
        store.store(other, np.zeros(3, np.float32))
        content = bytearray(store.path(other).read_bytes())
    path.write_bytes(content)
    assert store.load(KEY) is None


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(SereError, match="no space is left") as caught:
        Cache(tmp_path).store(KEY, np.zeros(3, np.float32))
    assert caught.value.problems[0].code == "X705"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SereError, match="cannot be written") as caught:
        Cache(tmp_path / "file").store(KEY, np.zeros(3, np.float32))
    assert caught.value.problems[0].code == "X704"


def test_the_folder_is_the_configs_or_the_environments_or_the_homes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERE_CACHE", "/from/environment")
    assert cache.folder(Features(cache="/from/config")) == Path("/from/config")
    assert cache.folder(Features()) == Path("/from/environment")
    monkeypatch.delenv("SERE_CACHE")
    assert cache.folder(Features()) == Path.home() / ".cache" / "sere"


def test_two_processes_write_the_same_keys(tmp_path: Path) -> None:
    script = """
import sys, numpy as np
from pathlib import Path
from sere_core.features.cache import Cache, key
store = Cache(Path(sys.argv[1]))
for turn in range(10):
    for number in range(20):
        name = key(str(number), {})
        array = store.load(name)
        assert array is None or (array == number).all()
        store.store(name, np.full(5000, number, np.float32))
"""
    running = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    for number in range(20):
        array = Cache(tmp_path).load(cache.key(str(number), {}))
        assert array is not None and (array == number).all()
    assert list(tmp_path.rglob(".part-*")) == []
