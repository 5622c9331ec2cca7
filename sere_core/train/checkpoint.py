"""Checkpoints: everything a fold needs to go on to the same bits, in one safetensors file written atomically.

Random draws need no entry: `sere_core.rng` names them by step.  What is kept is the method's state (with its banks and
moving averages), each optimizer's state, the selector's best epoch, and how far the fold is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sere_registry import error
from sere_registry.files import atomic_path


@dataclass(frozen=True)
class Position:
    """How far a fold is: `epoch` epochs of stage number `stage` are done."""

    fold: int
    stage: int
    epoch: int
    history: int
    finished: bool = False
    best_score: float | None = None
    best_epoch: int | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A position and the tensors that belong to it, by prefix: `method/`, `optim/`, `best/`, `result/`."""

    position: Position
    tensors: Mapping[str, Tensor]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors below a prefix, the prefix taken off."""
        return {name[len(prefix) + 1 :]: value for name, value in self.tensors.items() if name.startswith(prefix + "/")}

    def save(self, path: Path) -> None:
        """Write to a temporary file beside `path`, then rename: a killed process leaves the old one whole.

        Raises:
            SereError: X704 or X705 where the folder or the disk does not take it.
        """
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in self.tensors.items()}
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={"position": json.dumps(asdict(self.position))})

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint; nothing in it can run code.

        Raises:
            SereError: T505 if it is damaged.
        """
        try:
            with safe_open(path, framework="pt") as file:
                position = Position(**json.loads((file.metadata() or {})["position"]))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as cause:
            raise error("T505", f"{path}: not a checkpoint of sere: {cause}", hint="start over with --fresh") from cause
        return cls(position, tensors)


def optimizer_tensors(name: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's state as tensors `optim/<group>/<parameter>/<key>`; plain numbers become tensors of float64."""
    state = optimizer.state_dict()["state"]
    flat: dict[str, Tensor] = {}
    for parameter, entries in state.items():
        for key, value in entries.items():
            if value is not None:
                flat[f"optim/{name}/{parameter}/{key}"] = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    return flat


def restore_optimizer(name: str, optimizer: torch.optim.Optimizer, checkpoint: Checkpoint) -> None:
    """The inverse of `optimizer_tensors`."""
    state: dict[int, dict[str, Any]] = {}
    for path, value in checkpoint.under(f"optim/{name}").items():
        parameter, _, key = path.partition("/")
        state.setdefault(int(parameter), {})[key] = value
    whole = optimizer.state_dict()
    whole["state"] = state
    optimizer.load_state_dict(whole)
