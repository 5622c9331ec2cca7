"""Hooks: what happens beside a run, only when the config names it."""

from __future__ import annotations

from sere_registry import ComponentSpec, Params, param

PROGRESS = ComponentSpec(
    kind="hook",
    name="progress",
    factory="sere_plugins.hooks.progress:ProgressHook",
    summary="a bar with the time left; one line per fold where there is no terminal",
)


class TensorBoardParams(Params):
    """Parameters of `tensorboard`."""

    embeddings: bool = param(True, "write the embeddings of T_e for the projector, coloured by predicted class")


TENSORBOARD = ComponentSpec(
    kind="hook",
    name="tensorboard",
    factory="sere_plugins.hooks.tensorboard:TensorBoardHook",
    params=TensorBoardParams,
    summary="scalars by epoch, confusion matrices and embeddings, in the folder `tensorboard` of the run",
)
