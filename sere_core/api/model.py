"""Trained models, by the folder they were written into."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sere_core.model import Model


def load_model(path: str | Path, *, device: str = "auto") -> Model:
    """A trained model; `predict(waveform, rate)` takes an utterance.

    Args:
        path: the folder that `sere train` or `sere export` wrote.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        SereError: T505 if it is not a model's folder or a file was changed, X702 for a device that is not there.
    """
    from sere_core.model import Model

    return Model.load(path, device)
