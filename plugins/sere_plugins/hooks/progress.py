"""How far the run is, and how long it will take."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from sere_registry import BuildContext, Params
from sere_registry.errors import counted
from sere_registry.hookspecs import RunInfo, hookimpl


class ProgressHook:
    """A bar over folds x stages x epochs, on standard error; without a terminal, one line per fold.

    The length of a fold is known once its stages are; until the first fold is over, the bar counts the stages so far.
    """

    def __init__(self, params: Params, context: BuildContext, console: Console | None = None) -> None:
        in_notebook = None if find_spec("ipywidgets") else False  # without them rich can show no bar in a notebook
        self._console = console or Console(stderr=True, force_jupyter=in_notebook)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._epochs: dict[str, int] = {}  # stage -> its epochs, in order: the same in every fold
        self._steps = 1

    @hookimpl
    def sere_run_start(self, run: RunInfo) -> None:
        if not (run.interactive and (self._console.is_terminal or self._console.is_jupyter)):
            self._print(run, f"{run.name}: {counted(run.folds, 'fold')}, {run.folder}")
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
        whole, rest = Column(no_wrap=True, min_width=7), Column(no_wrap=True, overflow="ellipsis", ratio=1)  # losses give way to times
        times = (TimeElapsedColumn(table_column=whole), TextColumn("left"), TimeRemainingColumn(table_column=whole.copy()))
        losses = TextColumn("{task.fields[losses]}", style="dim", table_column=rest)
        self._bar = Progress(*columns, *times, losses, console=self._console, expand=True)
        self._task = self._bar.add_task(run.name, total=None, losses="")
        self._bar.start()

    @hookimpl
    def sere_stage_start(self, run: RunInfo, fold: int, stage: str, epochs: int, steps: int, first_epoch: int) -> None:
        self._epochs[stage] = epochs
        self._steps = max(steps, 1)
        self._show(run, fold, stage, first_epoch)

    @hookimpl
    def sere_step_end(self, run: RunInfo, fold: int, stage: str, epoch: int, step: int) -> None:
        """Move the bar within an epoch, without the losses: reading them would wait for the GPU."""
        if self._bar is not None:
            self._show(run, fold, stage, epoch + (step + 1) / self._steps)

    @hookimpl
    def sere_epoch_end(self, run: RunInfo, fold: int, stage: str, epoch: int, losses: Mapping[str, float]) -> None:
        terms = (f"{name.rpartition('.')[2]} {value:.3f}" for name, value in list(losses.items())[:3])
        self._show(run, fold, stage, epoch + 1, " ".join(terms))

    @hookimpl
    def sere_fold_scored(self, run: RunInfo, fold: int, scores: Mapping[str, float]) -> None:
        listing = ", ".join(f"{name.upper()} {100 * scores[name]:.1f} %" for name in ("uar", "war") if name in scores)
        self._print(run, f"fold {fold + 1} of {run.folds}: {listing}")

    @hookimpl
    def sere_run_end(self, run: RunInfo, error: BaseException | None) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, run: RunInfo, fold: int, stage: str, epochs: float, losses: str | None = None) -> None:
        if self._bar is None:
            return
        length = sum(self._epochs.values())
        names = list(self._epochs)
        before = sum(self._epochs[name] for name in names[: names.index(stage)])
        done = fold * length + before + epochs
        text = f"fold {fold + 1}/{run.folds} {stage}"
        self._bar.update(self._task, description=text, total=run.folds * length, completed=done)
        if losses is not None:
            self._bar.update(self._task, losses=losses)

    def _print(self, run: RunInfo, line: str) -> None:
        if not run.quiet:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
