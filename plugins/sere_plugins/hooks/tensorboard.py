"""A run for TensorBoard: `tensorboard --logdir runs`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sere_plugins.specs.hooks import TensorBoardParams
from sere_registry import BuildContext
from sere_registry.hookspecs import RunInfo, hookimpl

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardHook:
    """Writes below `<run folder>/tensorboard`: `fold0/<stage>` holds scalars by epoch; `fold0`, scores, confusions, embeddings.

    Folds have folders of their own, so that TensorBoard draws them as curves in one chart.  A stage that is resumed hides
    what was written of the epochs that are trained again.
    """

    def __init__(self, params: TensorBoardParams, context: BuildContext) -> None:
        self._embeddings = params.embeddings
        self._writer: SummaryWriter | None = None

    @hookimpl
    def sere_stage_start(self, run: RunInfo, fold: int, stage: str, first_epoch: int) -> None:
        self._close()
        self._writer = _open(run, f"fold{fold}/{stage}", first_epoch)

    @hookimpl
    def sere_epoch_end(self, epoch: int, losses: Mapping[str, float], diagnostics: Mapping[str, float]) -> None:
        assert self._writer is not None
        for group, values in (("loss", losses), ("diagnostics", diagnostics)):
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, epoch)

    @hookimpl
    def sere_fold_scored(
        self, run: RunInfo, fold: int, scores: Mapping[str, float], confusion: Sequence[Sequence[int]], embeddings: Path | None
    ) -> None:
        """The fold's scores, its confusion matrix and, for the projector, its embeddings."""
        self._close()
        with _open(run, f"fold{fold}", 0) as writer:
            for name, value in scores.items():
                writer.add_scalar(f"score/{name}", value, fold)
            writer.add_image("confusion", draw_confusion(confusion, run.classes), fold, dataformats="HWC")
            if self._embeddings and embeddings is not None:
                with np.load(embeddings, allow_pickle=False) as held:
                    names = [run.classes[int(position)] for position in held["predicted"]]
                    points = held["embedding"].astype(np.float32)
                writer.add_embedding(points, metadata=names, tag="embedding, by predicted class", global_step=fold)

    @hookimpl
    def sere_run_end(self, run: RunInfo, scores: Mapping[str, float] | None, error: BaseException | None) -> None:
        """The scores over folds, and their confusion matrices summed, from the record."""
        self._close()
        if error is not None or scores is None:
            return
        with _open(run, "all_folds", 0) as writer:
            for name, value in scores.items():
                writer.add_scalar(f"score/{name}", value, 0)
            path = run.folder / "scores.json"
            if path.exists():
                confusion = json.loads(path.read_bytes())["pooled"]["confusion"]
                drawn = draw_confusion(confusion, run.classes)
                writer.add_image("confusion, summed over folds", drawn, 0, dataformats="HWC")

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _open(run: RunInfo, name: str, first: int) -> SummaryWriter:
    from torch.utils.tensorboard import SummaryWriter  # half a second, which only its users should wait

    return SummaryWriter(str(run.folder / "tensorboard" / name), purge_step=first)


def draw_confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> NDArray[np.uint8]:
    """Pixels `[H, W, 3]`: rows true, columns predicted; the darker, the larger the share of the row; numbers are counts."""
    from PIL import Image, ImageDraw, ImageFont

    cell, font = 48, ImageFont.load_default(13)
    margin = 20 + int(max(font.getlength(name) for name in classes))
    size = margin + cell * len(classes)
    picture = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(picture)
    for y, (name, row) in enumerate(zip(classes, confusion, strict=True)):
        upright = Image.new("RGB", (margin - 10, cell), "white")
        ImageDraw.Draw(upright).text((0, cell // 2), name, "black", font, "lm")
        picture.paste(upright.rotate(90, expand=True), (margin + cell * y, 0))
        draw.text((margin - 10, margin + cell * y + cell // 2), name, "black", font, "rm")
        for x, count in enumerate(row):
            share, left, top = count / max(sum(row), 1), margin + cell * x, margin + cell * y
            shade = tuple(round(255 - share * (255 - darkest)) for darkest in (8, 48, 107))
            draw.rectangle((left, top, left + cell - 1, top + cell - 1), shade)
            draw.text((left + cell // 2, top + cell // 2), str(count), "white" if share > 0.6 else "black", font, "mm")
    return np.asarray(picture)
