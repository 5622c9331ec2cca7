"""A run that is killed, interrupted or out of disk goes on to the very record that it would have left unbroken."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safetensors import SafetensorError

from sere_core.features import audio
from sere_core.score.records import RunFolder
from sere_core.train import checkpoint
from sere_registry import files
from tests.end_to_end.conftest import TINY, Sere, command, content, record

#: hooks that stand in for a slow machine and for the user's Ctrl-C
HOOKS = """\
import signal, time
from sere_registry import ComponentSpec, Params, param
from sere_registry.hookspecs import hookimpl

class Where(Params):
    event: str = param("", "the hook at which Ctrl-C is pressed")
    fold: int = param(0, "in which fold")

class Sleeper:
    def __init__(self, params, context): pass

    @hookimpl
    def sere_step_end(self): time.sleep(0.2)

class CtrlC:
    def __init__(self, params, context): self.params, self.calls = params, 0

    def press(self, event, fold):
        if (event, fold) == (self.params.event, self.params.fold):
            self.calls += 1
            if self.calls == 2 or event == "scored":
                signal.raise_signal(signal.SIGINT)

    @hookimpl
    def sere_step_end(self, fold): self.press("step", fold)

    @hookimpl
    def sere_epoch_end(self, fold): self.press("epoch", fold)

    @hookimpl
    def sere_checkpoint_saved(self, fold): self.press("checkpoint", fold)

    @hookimpl
    def sere_fold_scored(self, fold): self.press("scored", fold)

SLOW = ComponentSpec(kind="hook", name="slow", factory=f"{__name__}:Sleeper", summary="sleeps after each step")
CTRL_C = ComponentSpec(kind="hook", name="ctrl_c", factory=f"{__name__}:CtrlC", params=Where, summary="presses Ctrl-C")
"""

GoesOn = Callable[..., str]


@pytest.fixture
def goes_on(sere: Sere, home: Path, monkeypatch: pytest.MonkeyPatch) -> GoesOn:
    """Resumes the broken run, whose record must then have the bytes of the same run left alone; returns what was printed."""
    (home / "hooks.py").write_text(HOOKS)
    away = home / "unbroken"
    away.mkdir()
    (away / "tiny.yaml").write_text(TINY)

    def resume(*words: str) -> str:
        told = sere("tiny.yaml", "--resume", *words)
        assert (told.code, told.problems) == (0, []), told.err
        with monkeypatch.context() as patch:
            patch.chdir(away)
            assert sere("tiny.yaml", *words).code == 0
        assert content(record(home / "runs")) == content(record(away / "runs"))
        return told.out

    return resume


@pytest.fixture
def slow(home: Path, goes_on: GoesOn) -> Iterator[subprocess.Popen[str]]:
    """A process that has saved its first checkpoint and is in the middle of a later epoch."""
    words = command("tiny.yaml", "train.epochs=3", "hooks.slow.use='file:hooks.py:SLOW'")
    process = subprocess.Popen(words, cwd=home, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 120
        while not list((home / "runs").glob("*/checkpoints/fold-0.safetensors")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_killed_run_goes_on_to_the_same_bytes(slow: subprocess.Popen[str], sere: Sere, home: Path, goes_on: GoesOn) -> None:
    told = sere("tiny.yaml", "train.epochs=3")
    assert (told.code, len(told.problems)) == (1, 1) and "[T504]" in told.err and str(slow.pid) in told.err
    assert slow.poll() is None
    os.kill(slow.pid, signal.SIGKILL)
    slow.wait()
    job = record(home / "runs")
    assert not (job / "done").exists()
    assert all(json.loads(line) for line in (job / "history.jsonl").read_text().splitlines())
    told = sere("tiny.yaml", "train.epochs=3")
    assert (told.code, len(told.problems)) == (1, 1) and "[T503]" in told.err and "--resume" in told.err
    assert " of 2 folds are done" in goes_on("train.epochs=3")


@pytest.mark.parametrize(
    ("event", "fold", "words"),
    [
        *((event, fold, ()) for event, fold in (("step", 0), ("epoch", 0), ("scored", 0), ("step", 1), ("checkpoint", 1))),
        ("checkpoint", 0, ()),
        ("epoch", 0, ("method.use=mcd", "losses=null", "train.epochs=4")),
        ("epoch", 0, ("method.use=nrc", "losses=null", "train.epochs=4")),
        ("scored", 0, ("method.use=jdar", "losses=null", "train.epochs=4")),  # one report, no second epoch
    ],
)
def test_ctrl_c_says_how_to_go_on_and_loses_nothing(event: str, fold: int, words: tuple[str, ...], sere: Sere, goes_on: GoesOn) -> None:
    told = sere("tiny.yaml", f"hooks.press={{use: 'file:hooks.py:CTRL_C', params: {{event: {event}, fold: {fold}}}}}", *words)
    assert told.code == 130
    line = told.err.strip().splitlines()[-1]
    assert line.startswith("interrupted") and "sere-run tiny.yaml" in line and line.endswith("--resume")
    goes_on(*words)


@pytest.mark.parametrize("call", [1, 4, 5, 6, 9, "checkpoint"])
def test_a_full_disk_is_one_line_and_the_run_goes_on_afterwards(
    call: int | str, sere: Sere, goes_on: GoesOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = files.write_all, []

    def full(descriptor: int, data: bytes) -> None:
        calls.append(len(data))
        if len(calls) == call + 1:  # type: ignore[operator]  # the first is the lock's
            real(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor, data)

    def full_for_safetensors(*given: object, **more: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        if call == "checkpoint":
            patch.setattr(checkpoint, "save_file", full_for_safetensors)
        else:
            patch.setattr(files, "write_all", full)
        told = sere("tiny.yaml")
    assert (told.code, len(told.problems)) == (4, 1), told.err
    assert "[X705]" in told.err and "runs/" in told.err and "Traceback" not in told.err
    goes_on()


@pytest.mark.parametrize(("step", "known"), [("predictions", 0), ("write_truth", 0), ("add_timing", 12), ("finish", 12)])
def test_a_run_that_stops_between_its_last_fold_and_its_end_goes_on(
    step: str, known: int, sere: Sere, home: Path, goes_on: GoesOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(RunFolder, step)

    def stop(self: RunFolder, *given: object) -> object:
        scores = self.path / "scores.json"
        if scores.exists() and json.loads(scores.read_bytes())["complete"]:
            raise KeyboardInterrupt
        return real(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, step, stop)
        assert sere("tiny.yaml").code == 130
    rows = RunFolder(home / "runs", record(home / "runs").name).predictions()
    assert sum(bool(row.truth) for row in rows) == known and len(rows) == 12, "labels come with the last step, all or none"
    goes_on()


def test_ctrl_c_while_features_are_extracted(sere: Sere, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = audio.read_parts, []

    def read(*given: object) -> object:
        calls.append(given)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(audio, "read_parts", read)
        told = sere("tiny.yaml", f"features.cache={home / 'mine'}")
    assert told.code == 130 and "interrupted" in told.err and "Traceback" not in told.err
    told = sere("tiny.yaml", f"features.cache={home / 'mine'}")
    assert (told.code, told.problems) == (0, []), told.err
    assert ", 0 extracted" not in told.out
