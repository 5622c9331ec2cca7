"""Records: byte-stable, whole or not there, one process at a time, and read back only if nothing was touched."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sere_core.data.task import TaskPlan
from sere_core.score.manifest import manifest_changes
from sere_core.score.records import RECORD_FILES, Record, RunFolder, json_line
from sere_registry.errors import SereError
from sere_registry.files import atomic_path, write_all, write_atomically

Write = Callable[[Path], RunFolder]
STABLE = (*RECORD_FILES, "done")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunFolder]:
    with RunFolder(tmp_path, "job").claim() as claimed:
        yield claimed


def test_a_record_reads_back(write_run: Write, tmp_path: Path, plan: TaskPlan) -> None:
    run = write_run(tmp_path)
    record = Record.read(run.path)
    assert record.config["name"] == "toy" and record.manifest["evidence"] == "reconstructed", "as well founded as its weakest part"
    assert record.folds["sha256"] == plan.digest == record.manifest["digests"]["folds"]
    assert [line["losses"]["classify"] for line in record.history] == [0.1, 1.1, 2.1] and record.history[0]["diagnostics"]["rho"] is None
    assert len(record.predictions) == 63 and record.timing == {"train": 1.5, "peak_mib": 100.0}
    assert {"python", "torch", "numpy", "sere"} <= record.manifest["versions"].keys()


def test_the_same_run_twice_is_the_same_bytes_and_labels_stand_beside_predictions(write_run: Write, tmp_path: Path) -> None:
    one, two = (write_run(tmp_path / name).path for name in ("one", "two"))
    for name in STABLE:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    header, first, *_ = (one / "predictions.csv").read_text().splitlines()
    assert header == "id,fold,anger,disgust,fear,happiness,neutral,sadness,surprise,prediction,truth" and first.count(",") == 10
    rows = Record.read(one).predictions
    assert all(row.truth == row.id.split("-")[1] for row in rows) and len({row.prediction for row in rows}) == 7


def test_posteriors_read_back_to_the_same_bits_in_whatever_order_folds_are_written(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).dirichlet([1, 1], size=4).astype(np.float32)
    forth, back = (RunFolder(tmp_path, name) for name in ("forth", "back"))
    forth.write_predictions(0, ["b", "a"], rows[:2], ("anger", "fear"))
    forth.write_predictions(1, ["c", "d"], rows[2:], ("anger", "fear"))
    back.write_predictions(1, ["d", "c"], rows[3:1:-1], ("anger", "fear"))
    back.write_predictions(0, ["x", "y"], rows[2:], ("anger", "fear"))
    back.write_predictions(0, ["a", "b"], rows[1::-1], ("anger", "fear"))
    assert (forth.path / "predictions.csv").read_bytes() == (back.path / "predictions.csv").read_bytes()
    read = forth.predictions()
    assert [row.id for row in read] == ["a", "b", "c", "d"]
    assert np.array_equal(np.array([row.posteriors for row in read]), rows[[1, 0, 2, 3]].astype(np.float64))
    assert read[0].prediction == ("anger", "fear")[int(rows[1].argmax())]
    assert {row.truth for row in read} == {""}
    forth.write_truth(["anger", "fear", "", "anger"], ("anger", "fear"))
    assert [row.truth for row in forth.predictions()] == ["anger", "fear", "", "anger"]
    assert [replace(row, truth="") for row in forth.predictions()] == read
    with pytest.raises(ValueError, match="shorter"):
        forth.write_truth(["anger"], ("anger", "fear"))


def test_all_that_checkpoints_make_again_is_forgotten(run: RunFolder) -> None:
    run.append_history(json_line({"epoch": 0}))
    (run.path / "predictions.csv").mkdir()
    os.mkfifo(run.path / "scores.json")
    write_atomically(run.checkpoint(0), b"x")
    run.forget_results()
    assert {path.name for path in run.path.iterdir()} == {".lock", "checkpoints"} and run.checkpoint(0).exists()
    run.append_history(json_line({"epoch": 0}) + json_line({"epoch": 1}))
    assert (run.path / "history.jsonl").read_bytes() == b'{"epoch":0}\n{"epoch":1}\n'


@pytest.mark.parametrize("name", STABLE)
def test_a_record_that_was_touched_is_refused(write_run: Write, tmp_path: Path, name: str) -> None:
    path = write_run(tmp_path).path
    data = (path / name).read_bytes()
    (path / name).write_bytes(data.replace(b"1", b"2"))
    with pytest.raises(SereError, match=r"\[T505\]"):
        Record.read(path)
    (path / name).unlink()
    with pytest.raises(SereError, match=r"\[T505\]"):
        Record.read(path)


def test_unfinished_and_empty_folders_are_no_records_and_reading_writes_nothing(write_run: Write, tmp_path: Path) -> None:
    path = write_run(tmp_path).path
    before = {each: each.stat().st_mtime_ns for each in path.rglob("*")}
    record = Record.read(path)
    assert record.history and record.predictions and record.timing
    assert {each: each.stat().st_mtime_ns for each in path.rglob("*")} == before
    (path / "done").unlink()
    with pytest.raises(SereError, match=r"T505.*\n.*--resume"):
        Record.read(path)
    with pytest.raises(SereError, match="T505"):
        Record.read(tmp_path)


def test_a_run_in_the_way_is_named_with_hints(write_run: Write, tmp_path: Path) -> None:
    with RunFolder(tmp_path, "job").claim() as run:
        run.append_history("{}\n")
        write_atomically(run.checkpoint(0), b"x")
    with pytest.raises(SereError, match=r"T503.*unfinished.*\n.*--resume.*--fresh"), RunFolder(tmp_path, "job").claim("new"):
        pass
    with RunFolder(tmp_path, "job").claim("resume") as run:
        assert (run.path / "history.jsonl").exists() and run.checkpoint(0).exists()
    for mode in ("fresh", "new"):  # what was claimed and left is in nobody's way
        with RunFolder(tmp_path, "job").claim(mode) as run:  # type: ignore[arg-type]
            assert [each.name for each in run.path.iterdir()] == [".lock"]
    write_run(tmp_path)
    with pytest.raises(SereError, match=r"T503.*a finished run"), RunFolder(tmp_path, "1f3a").claim("new"):
        pass


def test_two_processes_cannot_work_in_one_folder(tmp_path: Path) -> None:
    other = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        from sere_core.score.records import RunFolder
        with RunFolder(Path({str(tmp_path)!r}), "job").claim("new"):
            print("locked", flush=True)
            sys.stdin.read()
        """
    )
    with subprocess.Popen([sys.executable, "-c", other], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "locked\n"
        for mode in ("new", "resume", "fresh"):
            with pytest.raises(SereError, match=rf"\[T504\].*{process.pid}"), RunFolder(tmp_path, "job").claim(mode):  # type: ignore[arg-type]
                pass
        process.kill()
        process.wait()
    with RunFolder(tmp_path, "job").claim("resume"):
        pass  # the lock of a killed process is gone


def test_a_full_disk_is_one_line_and_what_was_there_stays(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run.write_json("scores.json", {"mean": 1})
    before = (run.path / "scores.json").read_bytes()
    real, room = os.write, [8]

    def scarce(descriptor: int, data: bytes) -> int:
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(descriptor, bytes(data)[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", scarce)
    with pytest.raises(SereError) as caught:
        run.write_json("scores.json", {"mean": 2})
    (problem,) = caught.value.problems
    assert problem.code == "X705" and str(run.path / "scores.json") in problem.message and caught.value.exit_code == 4
    assert (run.path / "scores.json").read_bytes() == before
    assert not list(run.path.glob(".*.tmp")), "no litter"
    with pytest.raises(SereError, match="X705"):
        run.append_history("{}\n")


def test_a_folder_that_cannot_be_written_is_one_line(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SereError, match=r"X704.*job.*(Not a directory|File exists)"), RunFolder(tmp_path / "file", "job").claim():
        pass

    def forbidden(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", forbidden)
    with pytest.raises(SereError, match=r"X704.*Permission denied"):
        run.write("scores.json", b"{}")


def test_a_writer_that_fails_leaves_the_old_file_and_a_full_disk_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "a.safetensors"
    write_atomically(path, b"old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and [each.name for each in path.parent.iterdir()] == ["a.safetensors"]
    """safetensors says it in an exception of its own."""
    with pytest.raises(SereError, match="X705"), atomic_path(tmp_path / "a"):
        raise RuntimeError("IoError(Os { code: 28, message: No space left on device })")
    with pytest.raises(RuntimeError, match="a bug"), atomic_path(tmp_path / "a"):
        raise RuntimeError("a bug")


def test_short_writes_are_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:1]))
    with (tmp_path / "a").open("wb") as file:
        write_all(file.fileno(), b"abc")
    assert (tmp_path / "a").read_bytes() == b"abc"


def test_damaged_predictions_of_an_unfinished_run_are_one_line(run: RunFolder) -> None:
    run.write("predictions.csv", b"id,fold\n1")
    with pytest.raises(SereError, match="T505"):
        run.predictions()


def test_what_changed_since_the_interruption_is_listed(write_run: Write, tmp_path: Path) -> None:
    old = json.loads((write_run(tmp_path).path / "manifest.json").read_text())
    new = json.loads(json.dumps(old))
    assert manifest_changes(old, new) == []
    new["versions"]["torch"] = "9"
    new["components"][0]["params"]["weight"] = 2.0
    assert manifest_changes(old, new) == ["components.0.params.weight: 1.0 -> 2.0", f"versions.torch: {old['versions']['torch']} -> 9"]
