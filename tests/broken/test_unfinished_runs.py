"""Runs and comparisons that were killed, and unfinished records that were damaged: found, or made again to the same bytes; never silent."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sere_core.cli import compare, main, run_main
from tests.broken import children
from tests.compare.tiny import BASE, Here
from tests.end_to_end.conftest import TINY

RUN = ["tiny.yaml", "--set", "train.epochs=3", "--set", "hooks={}"]
COMPARISON = (
    "sere: 1\ncompare: little\nbase: base.yaml\nrows:\n  floor: {losses: {adapt: null}}\n  ours: {}\nfloor: floor\nreference: ours\n"
)


def one(*more: str) -> Callable[[], int]:
    return lambda: run_main([*RUN, *more])


def several() -> int:
    compare.executor_of = lambda planned: Here()  # type: ignore[assignment]  # where it can be killed
    return main(["compare", "compare.yaml"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a finished run, its features in a cache; processes have one thread."""
    import torch

    folder = tmp_path_factory.mktemp("unfinished")
    torch.set_num_threads(1)
    (folder / "tiny.yaml").write_text(TINY)
    (folder / "base.yaml").write_text(BASE)
    (folder / "compare.yaml").write_text(COMPARISON)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERE_CACHE", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.chdir(folder)
        made(folder, "run", one())
        yield folder


def made(home: Path, name: str, call: Callable[[], int]) -> None:
    """What an unbroken call leaves, and how many moments it has."""
    for _ in range(2):  # the second finds its features in the cache, as those that are killed do
        shutil.rmtree("runs", ignore_errors=True)
        assert children.run(call, home / "log", count=home / f"{name}.moments") == 0, (home / "log").read_text()
    shutil.move("runs", name)


def content(root: Path) -> dict[str, bytes]:
    """The bytes of all records below a folder, but of timing.json; and whatever should not be there."""
    left_out = ("timing.json", ".lock", "report.html")
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file() and path.name not in left_out}
    return {name: path.read_bytes() for name, path in found.items() if not (path.name.startswith(".") and path.name.endswith(".tmp"))}


def moments(home: Path, name: str) -> int:
    return int((home / f"{name}.moments").read_text())


def killed(home: Path, name: str, call: Callable[[], int], resume: Callable[[], int], draw: random.Random) -> None:
    """Kill, kill again while it goes on, and let it end."""
    shutil.rmtree("runs", ignore_errors=True)
    at = draw.randint(1, moments(home, name))
    assert children.run(call, home / "log", at) == -9
    children.run(resume, home / "log", draw.randint(1, moments(home, name)))
    assert children.run(resume, home / "log") == 0, f"killed at {at}: {(home / 'log').read_text()}"
    assert content(Path("runs")) == content(home / name), f"killed at {at}"


@pytest.mark.counts
def test_killed_runs_go_on_to_the_same_bytes(home: Path) -> None:
    draw = random.Random(0)
    for _ in range(60):
        killed(home, "run", one(), one("--resume"), draw)


@pytest.mark.counts
def test_killed_comparisons_go_on_to_the_same_bytes(home: Path) -> None:
    made(home, "comparison", several)
    draw = random.Random(0)
    for _ in range(40):
        killed(home, "comparison", several, several, draw)


def damage(draw: random.Random, job: Path, other: Path, flips: bool) -> str:
    """Damage one file of an unfinished record, and say how."""
    files = sorted(path for path in job.rglob("*") if path.is_file() and path.name not in (".lock", "timing.json"))
    path = draw.choice(files)
    data = bytearray(path.read_bytes())
    name = path.relative_to(job).as_posix()
    kind = "flip" if flips else draw.choice(("cut", "empty", "swap", "of another run", "folder"))
    if kind == "flip" and data:
        place = draw.randrange(len(data))
        data[place] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        return f"{name}: bit of byte {place}"
    if kind == "swap":
        shutil.copyfile(draw.choice(files), path.with_name("swapped"))
        path.with_name("swapped").replace(path)
    elif kind == "of another run" and (other / name).exists():
        shutil.copyfile(other / name, path)
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(data[: len(data) // 2 if kind == "cut" else 0])
    return f"{name}: {kind}"


@pytest.mark.parametrize(
    ("count", "flips"),
    [
        (1, True),
        pytest.param(100, True, marks=pytest.mark.counts),
        pytest.param(60, False, marks=pytest.mark.counts),
    ],
)
def test_damage_to_an_unfinished_run_is_found_or_repaired(home: Path, count: int, flips: bool, capsys: pytest.CaptureFixture[str]) -> None:
    draw, results = random.Random(count), Counter[str]()
    other = home / "run"
    if not flips:
        made(home, "other", one("--seed=1"))
        other = next((home / "other").glob("*/done")).parent
    for number in range(count):
        while number % 10 == 0:
            shutil.rmtree("runs", ignore_errors=True)
            shutil.rmtree("killed", ignore_errors=True)
            assert children.run(one(), home / "log", draw.randint(1, moments(home, "run"))) == -9
            if list(Path("runs").glob("*/config.yaml")) and not list(Path("runs").glob("*/done")):
                shutil.move("runs", "killed")
                break
        shutil.rmtree("runs", ignore_errors=True)
        shutil.copytree("killed", "runs")
        (job,) = Path("runs").glob("*")
        done = damage(draw, job, other, flips)
        code = children.run(one("--resume"), home / "log")
        said = (home / "log").read_text()
        assert "Traceback" not in said, (done, said)
        if code:
            assert "[T505]" in said or "[X704]" in said, (done, code, said)
            results["found"] += 1
        else:
            same = content(Path("runs")) == content(home / "run")
            results["made again" if same else "silent"] += 1
            assert same, (number, done, said)
    with capsys.disabled():
        print(f"\n{'flips' if flips else 'other damage'}: {dict(results)}")
