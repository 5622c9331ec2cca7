"""Progress: a bar on a terminal, one line per fold elsewhere."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from sere_core.console import Speaker
from sere_core.hookbus import HookBus
from sere_plugins.hooks.progress import ProgressHook
from sere_plugins.specs.hooks import PROGRESS
from sere_registry import BuildContext, NoParams
from sere_registry.hookspecs import RunInfo


def hook(terminal: bool) -> tuple[ProgressHook, io.StringIO]:
    text = io.StringIO()
    assert PROGRESS.load() is ProgressHook
    return ProgressHook(NoParams(), BuildContext("progress"), Console(file=text, force_terminal=terminal, width=140)), text


def tell(bus: HookBus, run: RunInfo, first_epoch: int = 0, epochs: int = 2) -> None:
    """Two folds of two stages."""
    bus.call("sere_run_start", run=run)
    for fold in range(2):
        for stage in ("source", "adapt"):
            bus.call("sere_stage_start", run=run, fold=fold, stage=stage, epochs=epochs, steps=3, first_epoch=first_epoch)
            for epoch in range(first_epoch, epochs):
                for step in range(3):
                    bus.call("sere_step_end", run=run, fold=fold, stage=stage, epoch=epoch, step=step, losses={})
                bus.call("sere_epoch_end", run=run, fold=fold, stage=stage, epoch=epoch, losses={"classify": 0.5}, diagnostics={})
        bus.call("sere_fold_scored", run=run, fold=fold, scores={"uar": 0.4321, "war": 0.5}, confusion=[], embeddings=None)
    bus.call("sere_run_end", run=run, scores={"uar": 0.4}, error=None)


def test_without_a_terminal_there_is_one_line_per_fold(run: RunInfo) -> None:
    quiet, text = hook(terminal=False)
    tell(HookBus({"progress": quiet}), run)
    lines = text.getvalue().splitlines()
    assert lines == [f"toy: 2 folds, {run.folder}", "fold 1 of 2: UAR 43.2 %, WAR 50.0 %", "fold 2 of 2: UAR 43.2 %, WAR 50.0 %"]


def test_on_a_terminal_there_is_a_bar_with_the_time_left(run: RunInfo) -> None:
    loud, text = hook(terminal=True)
    tell(HookBus({"progress": loud}), replace(run, interactive=True))
    shown = text.getvalue()
    assert "fold 2/2 adapt" in shown and "100%" in shown and "left" in shown and "classify 0.500" in shown
    assert "fold 1 of 2: UAR 43.2 %" in shown


def test_the_bar_counts_folds_stages_epochs_and_steps(run: RunInfo) -> None:
    loud, _ = hook(terminal=True)
    bus, run = HookBus({"progress": loud}), replace(run, interactive=True)
    bus.call("sere_run_start", run=run)
    for stage, epochs in (("source", 4), ("adapt", 6)):
        bus.call("sere_stage_start", run=run, fold=0, stage=stage, epochs=epochs, steps=2, first_epoch=0)
    bus.call("sere_stage_start", run=run, fold=1, stage="adapt", epochs=6, steps=2, first_epoch=3)
    assert loud._bar is not None
    assert (loud._bar.tasks[0].completed, loud._bar.tasks[0].total) == (10 + 4 + 3, 20), "a resumed stage begins where it was"
    bus.call("sere_step_end", run=run, fold=1, stage="adapt", epoch=3, step=0, losses={})
    assert loud._bar.tasks[0].completed == 17.5
    bus.call("sere_run_end", run=run, scores=None, error=KeyboardInterrupt())
    assert loud._bar is None, "the bar is taken down after an interrupt too"


def test_without_a_terminal_a_bar_is_a_line_each_minute(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    for quiet in (False, True):
        with Speaker(quiet).bar("features") as progress:
            for done in range(11):  # 25 seconds each
                progress(done, 11)
                now += 25
    assert capsys.readouterr().out.splitlines() == [
        f"features: {done} of 11, about {left} min left" for done, left in ((3, 3), (6, 2), (9, 1))
    ]
