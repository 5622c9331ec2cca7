"""Checkpoints of earlier epochs, kept beside the one that the run overwrites."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sere_plugins.specs.hooks import CheckpointParams
from sere_registry import BuildContext
from sere_registry.files import atomic_path
from sere_registry.hookspecs import RunInfo, hookimpl


class CheckpointHook:
    """Copies the checkpoint of every `every`-th epoch to `<run folder>/checkpoints/kept/fold-0-joint-0005.safetensors`.

    Only what the run saves can be copied: with `train.checkpoint_every: 2`, an `every` of 3 keeps each sixth epoch.  The
    checkpoint of a stage's last epoch is not copied: the run leaves the final one in `checkpoints/` itself.
    """

    def __init__(self, params: CheckpointParams, context: BuildContext) -> None:
        self._params = params
        self._epochs = 0
        self._due = ""  # the name under which the next checkpoint is kept; empty where it is not

    @hookimpl
    def sere_stage_start(self, epochs: int) -> None:
        self._epochs, self._due = epochs, ""

    @hookimpl
    def sere_epoch_end(self, fold: int, stage: str, epoch: int) -> None:
        """Decide whether the checkpoint that may follow is kept."""
        kept = (epoch + 1) % self._params.every == 0 and epoch + 1 < self._epochs
        plain = re.sub(r"[^\w.-]", "_", stage)  # as part of a file's name
        self._due = f"fold-{fold}-{plain}-{epoch + 1:04d}" if kept else ""

    @hookimpl
    def sere_checkpoint_saved(self, run: RunInfo, path: Path) -> None:
        """Copy it, and delete the stage's oldest copies beyond `keep`.

        Raises:
            SereError: X704 or X705 where it cannot be written.
        """
        if not self._due:
            return
        name, self._due = self._due, ""  # a stage that is stopped saves once more: that is the final checkpoint
        folder = run.folder / "checkpoints" / "kept"
        with atomic_path(folder / f"{name}{path.suffix}") as unfinished:
            shutil.copyfile(path, unfinished)
        if self._params.keep is not None:
            stage = name.rpartition("-")[0]
            copies = [each for each in folder.glob(f"*{path.suffix}") if each.stem.rpartition("-")[0] == stage]
            copies.sort(key=lambda each: int(each.stem.rpartition("-")[2]))
            for old in copies[: -self._params.keep]:
                old.unlink()
