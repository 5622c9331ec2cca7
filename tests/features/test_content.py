"""Digests of files that are remembered: true whatever happens to the files, and whatever happens to the store."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from sere_core import content
from sere_core.cli import doctor
from sere_core.content import Contents, digest_of, files_below
from sere_core.features.audio import Facts
from sere_core.features.cache import Cache, Entry
from sere_registry.catalog import Catalog


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file counts as old enough for its times to be trusted."""
    monkeypatch.setattr(content, "_FRESH", -(10**12))


def true(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=20).hexdigest()


def remembered(folder: Path) -> int:
    with sqlite3.connect(folder / "digests.sqlite") as store:
        return int(store.execute("SELECT count(*) FROM files").fetchone()[0])


def made(folder: Path, count: int = 3) -> list[Path]:
    paths = [folder / f"{number}" for number in range(count)]
    for path in paths:
        path.write_bytes(path.name.encode() * 100)
    return paths


def filled(store: Path, paths: list[Path]) -> None:
    contents = Contents(store)
    contents.recall(paths)


def test_a_file_is_read_once_as_long_as_the_system_says_nothing(tmp_path: Path, old: None, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [*made(tmp_path), Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))]
    paths[-1].write_bytes(b"a name that is no text")
    filled(tmp_path / "store", paths)
    before = paths[0].stat()
    with monkeypatch.context() as patch:
        patch.setattr(Contents, "_read", lambda *_: pytest.fail("read again"))
        contents = Contents(tmp_path / "store")
        contents.recall(paths)
        assert [contents.digest(path) for path in paths] == [true(path) for path in paths]
    paths[0].write_bytes(b"1" * before.st_size)
    os.utime(paths[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    for known in (contents, Contents(tmp_path / "store")):
        assert known.digest(paths[0]) == true(paths[0])
    paths[1].rename(paths[2])  # in the place of another
    assert Contents(tmp_path / "store").digest(paths[2]) == true(paths[2])


def test_a_file_that_was_just_changed_is_not_remembered(tmp_path: Path) -> None:
    (path,) = made(tmp_path, 1)
    os.utime(path, (10**9, 10**9))  # its time of change says otherwise
    filled(tmp_path, [path])
    assert not (tmp_path / "digests.sqlite").exists()


def test_a_damaged_store_is_read_past_and_begun_anew(tmp_path: Path, old: None) -> None:
    paths, draw = made(tmp_path), random.Random(7)
    filled(tmp_path, paths)
    store = tmp_path / "digests.sqlite"
    sound = store.read_bytes()
    damaged = [b"", b"not a database" * 50, sound[:5000], bytes(len(sound))]
    for _ in range(60):
        broken = bytearray(sound)
        for _ in range(draw.choice([1, 1, 50])):
            broken[draw.randrange(len(sound))] ^= 1 << draw.randrange(4)
        damaged.append(bytes(broken))
    used = [at for at, byte in enumerate(sound) if byte][-500:]  # the rows themselves
    damaged += [sound[:at] + bytes([sound[at] ^ 4]) + sound[at + 1 :] for at in used[::10]]
    for broken_store in damaged:
        store.write_bytes(broken_store)
        contents = Contents(tmp_path)
        contents.recall(paths)
        assert [contents.digest(path) for path in paths] == [true(path) for path in paths]
        Contents(tmp_path).verify()
    store.write_bytes(b"not a database" * 50)
    filled(tmp_path, paths)
    assert remembered(tmp_path) == 3


def test_without_a_place_nothing_is_remembered_and_nothing_fails(tmp_path: Path, old: None) -> None:
    paths = made(tmp_path)
    for folder in (None, paths[0] / "below a file"):
        contents = Contents(folder)
        contents.recall([*paths, tmp_path / "missing"])
        assert contents.digest(paths[1]) == true(paths[1])
        assert contents.verify() == (0, [])
    with pytest.raises(OSError, match="folder"):
        contents.digest(tmp_path)


def test_processes_share_a_store(tmp_path: Path) -> None:
    made(tmp_path, 40)
    script = """
import sys
from argparse import Namespace
from pathlib import Path
from sere_core import content
content._FRESH = -10**12
for turn in range(3):
    contents = content.Contents(Path(sys.argv[1]), fresh=turn % 2 == 0)
    contents.recall(Path(sys.argv[1]).glob("[0-9]*"))
"""
    running = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert remembered(tmp_path) == 40 and Contents(tmp_path).verify() == (40, [])


def test_doctor_reads_in_full_what_seems_unchanged(
    tmp_path: Path, old: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = made(tmp_path)
    monkeypatch.setenv("SERE_CACHE", str(tmp_path))
    monkeypatch.setattr(doctor, "examine", lambda: iter(()))
    monkeypatch.setattr(content, "_state", lambda path: f"{Path(path).stat().st_size} 0 0")  # a file system without times
    filled(tmp_path, paths)
    paths[0].write_bytes(b"1" * 100)
    paths[1].write_bytes(b"longer")
    Cache(tmp_path).store("ab" * 20, Entry({"frames": np.arange(6, dtype=np.float32)}, Facts("0", 1.0, 0.1, 0.0)))
    (shard,) = tmp_path.rglob("*.data")
    shard.write_bytes(bytes(24))

    def findings() -> dict[str, dict[str, str]]:
        doctor.run(Namespace(json=True, deep=True), Catalog([], environ={}))
        return {each["name"]: each for each in json.loads(capsys.readouterr().out)["findings"]}

    found = findings()
    assert found["digests"]["state"] == "bad" and found["digests"]["code"] == "T505" and str(paths[0]) in found["digests"]["message"]
    assert str(paths[1]) not in found["digests"]["message"], "that one is seen without reading it"
    assert found["features"]["state"] == "note" and "1 damaged" in found["features"]["text"]
    assert findings()["digests"]["state"] == "ok" and Contents(tmp_path).digest(paths[0]) == true(paths[0])


def test_the_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("b/c.py", "a.json", "b/__pycache__/c.pyc", "x.egg-info/PKG-INFO"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert [name for name, _ in files_below(tmp_path)] == ["a.json", "b/c.py"]
    before = digest_of(files_below(tmp_path), Contents())
    (tmp_path / "a.json").rename(tmp_path / "d.json")
    assert digest_of(files_below(tmp_path), Contents()) != before
