"""What TensorBoard would show, read back with its own reader."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sere_core.hookbus import HookBus
from sere_plugins.specs.hooks import TENSORBOARD
from sere_registry import BuildContext
from sere_registry.hookspecs import RunInfo


def bus(**params: Any) -> HookBus:
    return HookBus({"tensorboard": TENSORBOARD.load()(TENSORBOARD.params(**params), BuildContext("tensorboard"))})


def read(run: RunInfo, name: str) -> Any:
    found = EventAccumulator(str(run.folder / "tensorboard" / name))
    found.Reload()
    return found


def train(hooks: HookBus, run: RunInfo, first: int, last: int) -> None:
    hooks.call("sere_stage_start", run=run, fold=0, stage="train", epochs=4, steps=1, first_epoch=first)
    for epoch in range(first, last):
        losses, diagnostics = {"classify": 1.0 / (epoch + 1)}, {"rho": 0.5}
        hooks.call("sere_epoch_end", run=run, fold=0, stage="train", epoch=epoch, losses=losses, diagnostics=diagnostics)


def end(hooks: HookBus, run: RunInfo, error: BaseException | None = None) -> None:
    hooks.call("sere_run_end", run=run, scores=None if error else {"uar": 0.6}, error=error)


def score(hooks: HookBus, run: RunInfo, embeddings: Path | None) -> None:
    hooks.call("sere_fold_scored", run=run, fold=0, scores={"uar": 0.6}, confusion=[[2, 1, 0], [0, 3, 0], [0, 0, 3]], embeddings=embeddings)


@pytest.fixture
def embeddings(tmp_path: Path) -> Path:
    path = tmp_path / "fold0.npz"
    np.savez(path, embedding=np.random.default_rng(0).normal(size=(9, 4)), predicted=np.arange(9) % 3)
    return path


def test_curves_scores_confusions_and_embeddings(run: RunInfo, embeddings: Path) -> None:
    hooks = bus()
    train(hooks, run, 0, 3)
    score(hooks, run, embeddings)
    (run.folder / "scores.json").write_text(json.dumps({"pooled": {"confusion": [[4, 2, 0], [0, 6, 0], [0, 0, 6]]}}))
    end(hooks, run)
    curve = read(run, "fold0/train").Scalars("loss/classify")
    assert [(point.step, point.value) for point in curve] == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]
    assert read(run, "fold0/train").Scalars("diagnostics/rho")[0].value == 0.5
    fold = read(run, "fold0")
    assert fold.Scalars("score/uar")[0].value == pytest.approx(0.6) and fold.Images("confusion")[0].width > 100
    assert read(run, "all_folds").Images("confusion, summed over folds")
    (labels,) = (run.folder / "tensorboard").rglob("metadata.tsv")
    assert labels.read_text().split() == ["anger", "fear", "neutral"] * 3, "predicted classes: true ones are sealed"
    (points,) = (run.folder / "tensorboard").rglob("tensors.tsv")
    assert len(points.read_text().splitlines()) == 9


def test_embeddings_can_be_left_out(run: RunInfo, embeddings: Path) -> None:
    hooks = bus(embeddings=False)
    score(hooks, run, embeddings)
    end(hooks, run)
    assert not list((run.folder / "tensorboard").rglob("tensors.tsv"))


def test_a_resumed_stage_hides_the_epochs_that_are_done_again(run: RunInfo) -> None:
    first = bus()
    train(first, run, 0, 3)
    end(first, run, KeyboardInterrupt())
    time.sleep(1.01)  # event files are read in the order of their names, which count seconds and, within one, writers as text
    second = bus()
    train(second, run, 2, 4)
    end(second, run)
    assert [point.step for point in read(run, "fold0/train").Scalars("loss/classify")] == [0, 1, 2, 3]


def test_a_run_without_the_hook_does_not_import_tensorboard() -> None:
    code = "import sys, sere_plugins.hooks.tensorboard; sys.exit(bool({'torch', 'tensorboard'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
