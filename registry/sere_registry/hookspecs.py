"""What a hook may listen to during a run (pluggy project "sere").  Arguments are passed by keyword.

A hook is active only when the config names it.  It gets plain data: floats, names and paths, never tensors or labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pluggy

PROJECT = "sere"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class RunInfo:
    """The run that a hook is told about."""

    name: str
    job: str
    folder: Path
    folds: int
    classes: tuple[str, ...]
    interactive: bool
    quiet: bool = False  # the user asked for errors only: a hook prints nothing


class HookSpecs:
    """All hooks, in the order of a run's life."""

    @hookspec
    def sere_run_start(self, run: RunInfo) -> None:
        """The config is resolved and the features are on disk; nothing is built yet."""

    @hookspec
    def sere_component_built(self, run: RunInfo, kind: str, id: str, name: str) -> None:
        """A component was built."""

    @hookspec
    def sere_stage_start(self, run: RunInfo, fold: int, stage: str, epochs: int, steps: int, first_epoch: int) -> None:
        """A stage begins (or, with first_epoch > 0, goes on): `steps` per epoch; a closed-form stage has one epoch of one step."""

    @hookspec
    def sere_step_end(self, run: RunInfo, fold: int, stage: str, epoch: int, step: int, losses: Mapping[str, float]) -> None:
        """A step is done; the terms of its losses."""

    @hookspec
    def sere_epoch_end(
        self, run: RunInfo, fold: int, stage: str, epoch: int, losses: Mapping[str, float], diagnostics: Mapping[str, float]
    ) -> None:
        """An epoch is done; the means of its terms and what losses and methods say of themselves."""

    @hookspec
    def sere_checkpoint_saved(self, run: RunInfo, fold: int, path: Path) -> None:
        """A checkpoint is on disk."""

    @hookspec(firstresult=True)
    def sere_should_stop(self, run: RunInfo, fold: int, stage: str, epoch: int) -> str | None:
        """A reason to end this stage after this epoch; None to go on.  It must not depend on anything but the run."""

    @hookspec
    def sere_fold_scored(
        self, run: RunInfo, fold: int, scores: Mapping[str, float], confusion: Sequence[Sequence[int]], embeddings: Path | None
    ) -> None:
        """A fold is scored: its numbers, its confusion matrix (rows true, columns predicted, in the order of `run.classes`) and, if
        the run keeps them, an .npz file with `embedding` [N, D] and `predicted` [N] (positions in `run.classes`)."""

    @hookspec
    def sere_run_end(self, run: RunInfo, scores: Mapping[str, float] | None, error: BaseException | None) -> None:
        """The run is over; always called, with the error if there was one; no scores where the target has no labels."""
