"""Checkpoints kept aside: which, how many, under what names."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from sere_core.hookbus import HookBus
from sere_plugins.specs.hooks import CHECKPOINT
from sere_registry import BuildContext, SereError
from sere_registry.hookspecs import RunInfo


def train(
    run: RunInfo, *, stage: str = "joint", fold: int = 0, epochs: int = 7, first_epoch: int = 0, saves: int = 1, **params: Any
) -> None:
    """A stage that saves every `saves` epochs but the last, then the fold's final checkpoint."""
    bus = HookBus({"copies": CHECKPOINT.load()(CHECKPOINT.params(**params), BuildContext("copies"))})
    path = run.folder / "checkpoints" / f"fold-{fold}.safetensors"
    path.parent.mkdir(exist_ok=True)
    bus.call("sere_stage_start", run=run, fold=fold, stage=stage, epochs=epochs, steps=1, first_epoch=first_epoch)
    for epoch in range(first_epoch, epochs):
        bus.call("sere_epoch_end", run=run, fold=fold, stage=stage, epoch=epoch, losses={}, diagnostics={})
        if (epoch + 1) % saves == 0 and epoch + 1 < epochs:
            path.write_text(f"{stage} after {epoch + 1}")
            bus.call("sere_checkpoint_saved", run=run, fold=fold, path=path)
    path.write_text("final")
    bus.call("sere_checkpoint_saved", run=run, fold=fold, path=path)


def kept(run: RunInfo) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((run.folder / "checkpoints").glob("kept/*"))}


def test_every_second_epoch_is_kept_and_the_final_checkpoint_is_not_copied(run: RunInfo) -> None:
    train(run, every=2, epochs=6)
    assert kept(run) == {"fold-0-joint-0002.safetensors": "joint after 2", "fold-0-joint-0004.safetensors": "joint after 4"}


def test_only_the_newest_of_each_stage_and_fold_stay(run: RunInfo) -> None:
    train(run, keep=2, stage="source")
    train(run, keep=2, stage="source-0001")
    train(run, keep=1, fold=1)
    names = ["fold-0-source-0001-0005", "fold-0-source-0001-0006", "fold-0-source-0005", "fold-0-source-0006", "fold-1-joint-0006"]
    assert list(kept(run)) == [f"{name}.safetensors" for name in names]


def test_a_resumed_run_ends_with_the_same_copies(run: RunInfo) -> None:
    train(run, every=2, keep=2, epochs=9)
    unbroken = kept(run)
    shutil.rmtree(run.folder / "checkpoints")
    train(run, every=2, keep=2, epochs=5)
    train(run, every=2, keep=2, epochs=9, first_epoch=4)
    assert kept(run) == unbroken and len(unbroken) == 2


def test_what_the_run_does_not_save_cannot_be_kept_and_a_stage_with_a_strange_name_is_a_file(run: RunInfo) -> None:
    train(run, every=3, saves=2, epochs=13)
    train(run, stage="../a b", epochs=2)
    assert list(kept(run)) == [f"fold-0-{name}.safetensors" for name in (".._a_b-0001", "joint-0006", "joint-0012")]


def test_a_full_disk_is_said_with_its_code(run: RunInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(SereError, match="X705"):
        train(run)
