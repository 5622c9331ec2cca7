"""Checkpoints of earlier epochs, kept beside the one that the run overwrites."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

from sere_plugins.specs.hooks import CheckpointParams
from sere_registry import BuildContext, error
from sere_registry.hookspecs import RunInfo, hookimpl


class CheckpointHook:
    """Copies the checkpoint of every `every`-th epoch to `<run folder>/checkpoints/kept/fold-0-joint-0005.safetensors`.

    Only what the run saves can be copied: with `train.checkpoint_every: 2`, an `every` of 3 keeps each sixth epoch.  The checkpoint of
    a stage's last epoch is not copied: the run leaves the final one in `checkpoints/` itself.
    """

    def __init__(self, params: CheckpointParams, context: BuildContext) -> None:
        self._params = params
        self._epochs = 0
        self._due = ""  # the name under which the next checkpoint is kept; empty where it is not

    @hookimpl
    def sere_stage_start(self, epochs: int) -> None:
        """Learn which epoch is the last."""
        self._epochs, self._due = epochs, ""

    @hookimpl
    def sere_epoch_end(self, fold: int, stage: str, epoch: int) -> None:
        """Is the checkpoint that may follow one to keep?"""
        wanted = (epoch + 1) % self._params.every == 0 and epoch + 1 < self._epochs
        self._due = f"fold-{fold}-{_plain(stage)}-{epoch + 1:04d}" if wanted else ""

    @hookimpl
    def sere_checkpoint_saved(self, run: RunInfo, path: Path) -> None:
        """Copy it, and take away the oldest copies of the stage that are too many."""
        if not self._due:
            return
        name, self._due = self._due, ""  # a stage that is stopped saves once more: that is the final checkpoint
        folder = run.folder / "checkpoints" / "kept"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            unfinished = folder / f"{name}.partial"
            shutil.copyfile(path, unfinished)
            os.replace(unfinished, folder / f"{name}{path.suffix}")
        except OSError as cause:
            code = "X705" if cause.errno in (errno.ENOSPC, errno.EDQUOT) else "X704"
            raise error(code, f"a checkpoint cannot be kept in {folder}: {cause.strerror}", "raise `every` or lower `keep`") from cause
        if self._params.keep is not None:
            stage = name.rpartition("-")[0]
            copies = [each for each in folder.glob(f"*{path.suffix}") if each.stem.rpartition("-")[0] == stage]
            copies.sort(key=lambda each: int(each.stem.rpartition("-")[2]))
            for old in copies[: -self._params.keep]:
                old.unlink()


def _plain(stage: str) -> str:
    """A stage's name as part of a file's."""
    return re.sub(r"[^\w.-]", "_", stage)
