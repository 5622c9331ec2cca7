"""A call that was interrupted goes on as if it had not been, and only where nothing has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sere_core.cli import main
from sere_registry.files import FolderLock
from tests.predict import killed, odd_files
from tests.predict.conftest import Trained, read, write

COUNTS = [60, pytest.param(1000, marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=COUNTS)
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, bool | None]:
    return odd_files.make(tmp_path_factory.mktemp("files") / f"odd-{request.param}", request.param, seed=request.param)


@pytest.fixture(scope="module")
def listed(files: dict[Path, bool | None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("list") / f"list-{len(files)}"
    path.write_bytes(b"\0".join(os.fsencode(each) for each in files))
    return path


@pytest.fixture(scope="module")
def whole(trained: Trained, listed: Path) -> Path:
    """The output of an unbroken call."""
    out = listed.with_suffix(".csv")
    assert main(["predict", str(trained.folder), "--list", str(listed), "-o", str(out), "--quiet"]) == 0
    return out


def test_every_file_is_a_row(files: dict[Path, bool | None], whole: Path) -> None:
    """Or several where it is long."""
    found: dict[str, list[str]] = {}
    for row in read(whole):
        assert bool(row["prediction"]) == (not row["error"])
        assert not row["error"] or row["error"][:4] in ("D603", "D604", "D605", "D606", "D612", "B403"), row
        found.setdefault(row["path"], []).append(row["error"])
    names = [str(path).encode(errors="backslashreplace").decode() for path in files]
    assert list(found) == names
    assert [name for name in names if len(found[name]) > 1]
    wrong = [(name, found[name]) for name, usable in zip(names, files.values(), strict=True) if usable not in (None, not any(found[name]))]
    assert not wrong


@pytest.mark.parametrize("speakers", [[], ["--speakers", "group"]], ids=["one pass", "two passes"])
@pytest.mark.slow
def test_the_same_bytes_after_kills(trained: Trained, listed: Path, whole: Path, tmp_path: Path, speakers: list[str]) -> None:
    words = ["predict", str(trained.folder), "--list", str(listed), "--quiet", *speakers]
    unbroken = whole
    if speakers:
        unbroken = tmp_path / "whole.csv"
        assert main([*words, "-o", str(unbroken)]) == 0
    out, few = tmp_path / "out.csv", len(read(whole)) < 100
    kills, longest = ("3", "0.05") if few else ("25", "0.3")
    command = [sys.executable, killed.__file__, kills, "1", longest, *words, "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    behind, times, code = map(int, done.stdout.split())
    print(f"{times} kills, {behind} of them behind the first rows")
    assert code == 0 and times >= 1, done.stderr  # where the kills land depends on the machine
    assert out.read_bytes() == unbroken.read_bytes()


@pytest.mark.parametrize("changed", ["nothing", "a file", "the inputs", "the order", "an option", "the model", "the rows"])
def test_an_interrupted_call_is_taken_up_only_as_it_was(
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changed: str,
) -> None:
    """Interrupted behind its third row."""
    from sere_core.predict import job

    files = [tmp_path / name for name in ("a.wav", "b.wav", "c.wav", "d.wav", "e.wav")]
    for file in files:
        write(file, 0.3)
    line = job.Writer.line

    def interrupted(self: job.Writer, row: job.Row) -> bytes:
        if row.source.path == files[3]:
            raise KeyboardInterrupt
        return line(self, row)

    words: list[object] = [trained.folder, *files, "--quiet", "-o", tmp_path / "o.csv"]
    with monkeypatch.context() as patch:
        patch.setattr(job, "_BLOCK", -1.0)
        patch.setattr(job.Writer, "line", interrupted)
        assert main(["predict", *map(str, words)]) == 130
    capsys.readouterr()
    with open(tmp_path / "o.csv.part" / "rows", "ab") as rows:
        rows.write(b"torn")
    if changed == "a file":
        write(files[1], 0.3, seed=1)
    elif changed == "the inputs":
        del words[2]
    elif changed == "the order":
        words[1], words[2] = words[2], words[1]
    elif changed == "an option":
        words += ["--abstain", 0.3]
    elif changed == "the model":
        copy = tmp_path / "model"
        copy.mkdir()
        for path in trained.folder.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        (copy / "sha256").write_text("\n".join(reversed((copy / "sha256").read_text().splitlines())) + "\n")
        words[0] = copy
    elif changed == "the rows":
        (tmp_path / "o.csv.part" / "rows").write_text("path")
    if changed == "nothing":
        assert main(["predict", *map(str, words)]) == 0
        assert [row["path"] for row in read(tmp_path / "o.csv")] == [str(file) for file in files]
    else:
        assert main(["predict", *map(str, words)]) == 1 and "[T505]" in capsys.readouterr().err
        assert main(["predict", *map(str, words), "--fresh"]) == 0
        assert len(read(tmp_path / "o.csv")) == len([word for word in words if word in files])


def test_features_of_another_call_are_not_taken(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in the first of two passes, when nothing is written yet; then the same call with other files of the same names."""
    from sere_core.predict.speakers import Standardiser

    files = [tmp_path / name for name in ("a.wav", "b.wav", "c.wav")]
    calls = tmp_path / "calls.csv"
    calls.write_text("path,speaker\n" + "".join(f"{file},anna\n" for file in files))

    def words(out: str) -> list[str]:
        return ["predict", str(trained.folder), str(calls), "-o", str(tmp_path / out), "--quiet"]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for seed, file in enumerate(files):
        write(file, 0.3, seed=seed)
    with monkeypatch.context() as patch:
        patch.setattr(Standardiser, "of", stop)
        assert main(words("o.csv")) == 130
    assert len(list((tmp_path / "o.csv.part" / "features").glob("*/*"))) == 3
    for seed, file in enumerate(files):
        write(file, 0.3, seed=seed + 10)
    assert main(words("o.csv")) == 0 and main(words("new.csv")) == 0
    assert (tmp_path / "o.csv").read_bytes() == (tmp_path / "new.csv").read_bytes()


def test_two_calls_do_not_write_one_file(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = FolderLock(tmp_path / "o.csv.part")
    assert main(["predict", str(trained.folder), str(write(tmp_path / "a.wav")), "-o", str(tmp_path / "o.csv")]) == 1
    assert "[T504]" in capsys.readouterr().err
    lock.release()
