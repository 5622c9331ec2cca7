"""Hooks: what happens beside a run, only when the config names it."""

from __future__ import annotations

from sere_plugins.specs import Declared, component
from sere_registry import param


@component("progress", "hooks.progress:ProgressHook")
class ProgressParams(Declared):
    """a bar with the time left; one line per fold where there is no terminal."""


@component("tensorboard", "hooks.tensorboard:TensorBoardHook")
class TensorBoardParams(Declared):
    """scalars by epoch, confusion matrices and embeddings, in the folder `tensorboard` of the run."""

    embeddings: bool = param(True, "write the embeddings of T_e for the projector, coloured by predicted class")


@component("checkpoint", "hooks.checkpoint:CheckpointHook")
class CheckpointParams(Declared):
    """copies the checkpoint of every k-th epoch aside, to the folder `checkpoints/kept` of the run."""

    every: int = param(1, "keep the checkpoint of every so many epochs of a stage", ge=1)
    keep: int | None = param(None, "how many copies of a stage stay, the newest; null: all", ge=1)


@component("divergence", "hooks.divergence:DivergenceHook")
class DivergenceParams(Declared):
    """notes a loss term that grows and an embedding norm or spread that collapses, in the file
    `notes.jsonl` of the run.
    """

    growth: float = param(10.0, "a loss term this many times its smallest value so far has grown", gt=1)
    epochs: int = param(3, "for so many epochs in a row", ge=1)
    floor: float = param(0.05, "a smallest value nearer to 0 than this counts as this", gt=0)
    collapse: float = param(0.05, "a watched diagnostic below this share of its first value has collapsed", gt=0, lt=1)
    watch: tuple[str, ...] = param(
        ("embedding_norm", "prototype_spread", "spread"), "diagnostics to watch, by the last part of their names"
    )
    ignore: tuple[str, ...] = param((), "terms and diagnostics to leave alone, by full name: those whose weight is a steep ramp, say")
    stop: bool = param(False, "end the stage; else it is only noted")


PROGRESS = ProgressParams.spec
TENSORBOARD = TensorBoardParams.spec
CHECKPOINT = CheckpointParams.spec
DIVERGENCE = DivergenceParams.spec
